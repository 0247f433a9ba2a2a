// The price axis holds the visible candles, lines and order levels; the volume axis and the panes what they show.
const {x, high, low, volume} = source.data, n = x.length
if (n == 0) return
const a = Math.max(0, Math.ceil(xr.start - x[0] - 0.35)), b = Math.min(n - 1, Math.floor(xr.end - x[0] + 0.35))
if (b < a) return
let top = -Infinity, bottom = Infinity, most = 1
const take = (values) => {
  let up = -Infinity, down = Infinity
  for (let i = a; i <= b; i++) {
    if (values[i] > up) up = values[i];
    if (values[i] < down) down = values[i]
  }
  return [up, down]
}
const hold = ([up, down]) => {
  if (up > top) top = up;
  if (down < bottom) bottom = down
}
hold([take(high)[0], take(low)[1]])
most = Math.max(1, take(volume)[0])
for (const name of overlays) hold(take(source.data[name]))
const candles = top - bottom || tick * 8
// an order so far away that the candles would be a line stays outside; its label stands at the edge
for (const level of levels.data.y) {
  if (level <= top + 2 * candles && level >= bottom - 2 * candles) hold([level, level])
}
const room = Math.max((top - bottom) * 0.06, tick * 4)
price.setv({start: bottom - room, end: top + room});
traded.setv({start: 0, end: most * 1.08})
for (const [range, names] of panes) {
  let up = -Infinity, down = Infinity
  for (const name of names) {
    const [most, least] = take(source.data[name]);
    up = Math.max(up, most);
    down = Math.min(down, least)
  }
  if (up >= down) {
    const gap = (up - down) * 0.1 || 1;
    range.setv({start: down - gap, end: up + gap})
  }
}
