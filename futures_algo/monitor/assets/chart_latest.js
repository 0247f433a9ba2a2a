const x = source.data.x, w = xr.end - xr.start, last = x[x.length - 1] + 4.5;
within(xr, x, last - w, last)
