const w = (xr.end - xr.start) * share;
xr.setv({start: xr.end - w, end: xr.end})
