// Formats of moments, kept: making one takes longer than a candle.
const format = (locale, o) =>
  (window.faFormats ??= {})[locale + JSON.stringify(o)] ??= new Intl.DateTimeFormat(locale, o)
