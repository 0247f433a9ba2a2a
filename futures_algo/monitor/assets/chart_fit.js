// The price axis, the volume axis and those of the panes show what stands between the ends of the time axis.
const {x, high, low, volume} = source.data, n = x.length
if (n == 0) return
const a = Math.max(0, Math.ceil(xr.start - x[0] - 0.35)), b = Math.min(n - 1, Math.floor(xr.end - x[0] + 0.35))
if (b < a) return
let top = -Infinity, bottom = Infinity, most = 1
for (let i = a; i <= b; i++) {
  if (high[i] > top) top = high[i];
  if (low[i] < bottom) bottom = low[i];
  if (volume[i] > most) most = volume[i]
}
const room = Math.max((top - bottom) * 0.06, tick * 4)
price.setv({start: bottom - room, end: top + room});
traded.setv({start: 0, end: most * 1.08})
for (const [range, names] of panes) {
  let up = -Infinity, down = Infinity
  for (const name of names) {
    const v = source.data[name];
    for (let i = a; i <= b; i++) {
      if (v[i] > up) up = v[i];
      if (v[i] < down) down = v[i]
    }
  }
  if (up >= down) {
    const gap = (up - down) * 0.1 || 1;
    range.setv({start: down - gap, end: up + gap})
  }
}
