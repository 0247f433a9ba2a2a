const w = xr.end - xr.start, d = w * share;
within(xr, source.data.x, xr.start + d, xr.end + d)
