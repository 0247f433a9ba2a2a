// The view keeps to the bars there are: never wider than all of them, never past either end.
const within = (xr, x, start, end) => {
  if (!x.length) return
  const first = x[0] - 0.5, last = x[x.length - 1] + 4.5
  const width = Math.min(Math.max(end - start, 12), last - first)
  const right = Math.max(Math.min(end, last), first + width)
  xr.setv({start: right - width, end: right})
}
