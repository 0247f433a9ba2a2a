const w = (xr.end - xr.start) * share;
within(xr, source.data.x, xr.end - w, xr.end)
