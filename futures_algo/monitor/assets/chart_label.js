// The text at a tick: the time, and the day where it is another one than at the tick before.
const row = Math.round(tick) - source.data.x[0], at = source.data.start[row]
if (at === undefined) return ''
const say = (when, o) => format('en-GB', {timeZone: zone, ...o}).format(when)
const day = say(at, {day: 'numeric', month: 'short'}),
  clock = say(at, {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'})
const previous = ticks[index - 1],
  earlier = previous === undefined ? undefined : source.data.start[Math.round(previous) - source.data.x[0]]
return earlier !== undefined && say(earlier, {day: 'numeric', month: 'short'}) == day ? clock : clock + '\n' + day
