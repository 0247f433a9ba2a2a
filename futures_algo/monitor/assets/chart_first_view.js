// On the first layout: no more bars than the width has room for.
if (main.tags.length) return   // the reader's own view stays
main.tags = ['drawn']
const bars = main.inner_width / 5
if (xr.end - xr.start > bars) xr.setv({start: xr.end - bars, end: xr.end})
xr.bounds = [source.data.x[0] - 0.5, source.data.x[source.data.x.length - 1] + 4.5]
