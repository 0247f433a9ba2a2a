// A reader who sees the newest bar keeps seeing the newest bar; one who sees them all, all until they are many.
const x = source.data.x, n = x.length
if (n == 0) return
const last = x[n - 1], [seen, shown] = xr.tags, ends = last + 4.5
xr.bounds = [x[0] - 0.5, ends]
if (last > seen && xr.end >= seen + 0.5) {
  const moved = xr.end + last - seen
  const start = xr.start <= x[0] - 0.5 && ends - x[0] < shown ? xr.start : xr.start + last - seen
  xr.setv({start, end: moved})
}
xr.tags = [last, shown]
