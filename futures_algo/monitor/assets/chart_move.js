const w = xr.end - xr.start, d = w * share;
xr.setv({start: xr.start + d, end: xr.end + d})
