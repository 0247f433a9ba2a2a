// The line above the chart: the bar under the pointer, else the newest.
const d = source.data, n = d.x.length
if (n == 0) return
const hover = cb_obj.event_name == 'mousemove' ? Math.round(cb_obj.x) - d.x[0] : n - 1,
  i = Math.min(n - 1, Math.max(0, hover))
const say = (timeZone) => format('en-GB', {
  timeZone, weekday: 'short', day: '2-digit', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23'
}).format(d.start[i])
const price = v => v.toLocaleString('en-US', {minimumFractionDigits: decimals, maximumFractionDigits: decimals})
const sign = d.close[i] < d.open[i] ? '\u25bc' : d.close[i] > d.open[i] ? '\u25b2' : '\u2013'
const when = main.inner_width < 520   // a phone
  ? say(zone).slice(-5) + ' ' + zone_name
  : `${say(zone).replace(',', '')} ${zone_name}  (${say().slice(-5)} local)`
const text = `${when}   O ${price(d.open[i])}  H ${price(d.high[i])}  L ${price(d.low[i])}`
  + `  C ${price(d.close[i])} ${sign}  V ${d.volume[i].toLocaleString('en-US')}`
if (title.text != text) title.text = text
