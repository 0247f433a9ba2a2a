// Where the time axis has ticks: round moments of the exchange's clock, about 70 pixels apart.
const {x, start} = source.data, n = x.length
if (n == 0) return []
const a = Math.max(0, Math.ceil(cb_data.range.start - x[0])), b = Math.min(n - 1, Math.floor(cb_data.range.end - x[0]))
const minutes = start.length > 1
  ? Math.max(1, Math.min((start[1] - start[0]) / 60000, (start[n - 1] - start[n - 2]) / 60000))
  : 1
let width = window.innerWidth < 760 ? 280 : 850   // before the first layout it is not set, and asking throws
try { width = main.inner_width } catch {}
const room = Math.max(3, Math.min(14, width / 70))
const wanted = minutes * (cb_data.range.end - cb_data.range.start) / room
const step = [1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440, 2880, 10080].find(s => s >= wanted) || 10080
const part = Object.fromEntries(
  format('en-US', {timeZone: zone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23'})
    .formatToParts(start[b] ?? start[n - 1])
    .map(p => [p.type, p.value])
)
const last = new Date(start[b] ?? start[n - 1]),
  offset = ((+part.hour * 60 + +part.minute) - (last.getUTCHours() * 60 + last.getUTCMinutes()) + 1440) % 1440
const found = []
let before = null
for (let i = a; i <= b; i++) {
  const cell = Math.floor((start[i] / 60000 + offset) / step);
  if (before !== null && cell != before) found.push(x[i]);
  before = cell
}
return found
