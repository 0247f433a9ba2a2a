new MutationObserver((_, watching) => {
  if (document.querySelector('#page [data-root-id] > *, #page .bk-panel-models-layout-Column')) {
    document.getElementById('shell').remove();
    watching.disconnect()
  }
}).observe(document.getElementById('page'), {childList: true, subtree: true})
const warn = (text) => {
  const line = document.getElementById('fa-lost') ?? document.createElement('div')
  line.id = 'fa-lost';
  line.setAttribute('role', 'alert')
  line.textContent = text
  document.body.prepend(line)
  document.body.classList.add('fa-old')
}
window.faLost = (why) => {
  if (document.getElementById('fa-lost')) return
  const since = new Date().toLocaleTimeString('en-GB')
  warn(`\u2716 ${why} since ${since}. What you see is old; trying again every second.`)
  const again = () => fetch('favicon.ico', {cache: 'no-store'})
    .then(answer => {
      if (!answer.ok) throw answer;
      sessionStorage.setItem('fa-back', since);
      location.reload()
    })
    .catch(() => setTimeout(again, 1000))
  setTimeout(again, 1000)
}
// A page whose socket never opened shows the moment it was sent and no other: it is dead, and says so.
const opened = Date.now(), unheard = sessionStorage.getItem('fa-unheard')
const neverOpened = (since) => warn(
  `\u2716 Not connected since ${since}: no live data reaches this page (a firewall or proxy may block its websocket).`
  + ' What you see is old and its buttons do nothing.'
)
if (unheard) neverOpened(unheard)
const hearing = setInterval(() => {
  if (window.faDrawn) {
    clearInterval(hearing);
    sessionStorage.removeItem('fa-unheard')
    document.getElementById('fa-lost')?.remove()
    document.body.classList.remove('fa-old')
    return
  }
  const waited = Date.now() - opened
  if (waited > SILENT * 1000 && !sessionStorage.getItem('fa-unheard')) {
    sessionStorage.setItem('fa-unheard', new Date(opened).toLocaleTimeString('en-GB'))
    neverOpened(sessionStorage.getItem('fa-unheard'))
  }
  if (waited > 60000) location.reload()
}, 500)
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
// A strategy's line that was opened stays open while its text is replaced.
const openLines = new Set(), watched = new WeakSet()
const openAgain = root => root.querySelectorAll('details[data-key]').forEach(one => {
  const wanted = openLines.has(one.dataset.key)
  if (one.open != wanted) one.open = wanted
})
document.addEventListener('click', event => {
  const path = event.composedPath(), summary = path.find(one => one.localName == 'summary')
  const details = summary?.parentElement, key = details?.dataset.key
  if (!key) return
  if (details.open) openLines.delete(key); else openLines.add(key)
  const root = details.getRootNode()
  if (watched.has(root)) return
  watched.add(root);
  new MutationObserver(() => openAgain(root)).observe(root, {childList: true, subtree: true})
}, true)
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
