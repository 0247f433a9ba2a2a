new MutationObserver((_, watching) => {
  if (document.querySelector('#page [data-root-id] > *, #page .bk-panel-models-layout-Column')) {
    document.getElementById('shell').remove();
    watching.disconnect()
  }
}).observe(document.getElementById('page'), {childList: true, subtree: true})
window.faLost = (why) => {
  if (document.getElementById('fa-lost')) return
  const line = document.createElement('div'), since = new Date().toLocaleTimeString('en-GB')
  line.id = 'fa-lost';
  line.setAttribute('role', 'alert')
  line.textContent = `\u2716 ${why} since ${since}. What you see is old; trying again every second.`
  document.body.prepend(line)
  const again = () => fetch('favicon.ico', {cache: 'no-store'})
    .then(answer => {
      if (!answer.ok) throw answer;
      sessionStorage.setItem('fa-back', since);
      location.reload()
    })
    .catch(() => setTimeout(again, 1000))
  setTimeout(again, 1000)
}
const attach = setInterval(() => {
  const shown = window.Bokeh?.documents?.[0];
  if (shown) {
    clearInterval(attach);
    window.faDrawn = true;
    window.faSeen = Date.now();
    shown.on_change(() => {
      window.faSeen = Date.now();
      if (document.title != shown.title()) document.title = shown.title()
    })
  }
}, 250)
// BokehJS keeps replaced charts until it counts anew
setInterval(() => window.Bokeh?.documents?.forEach(shown => shown._recompute_all_models?.()), 60000)
setInterval(() => {
  if (window.faDrawn && Date.now() - window.faSeen > SILENT * 1000) window.faLost('No news from the monitor')
}, 1000)
const back = sessionStorage.getItem('fa-back')
if (back) {
  sessionStorage.removeItem('fa-back')
  const line = document.createElement('div');
  line.id = 'fa-back';
  line.setAttribute('role', 'status')
  line.textContent = `\u25cf Connected again at ${new Date().toLocaleTimeString('en-GB')} (lost at ${back})`
  document.body.prepend(line);
  setTimeout(() => line.remove(), 8000)
}
