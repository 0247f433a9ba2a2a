// What is wrong with the visible page, as sentences: text that is cut, texts that overlap, contrast below 4.5.
() => {
  const found = [], texts = [], width = document.documentElement.clientWidth
  const parentOf = (one) => one.parentElement ?? (one.getRootNode().host ?? null)
  const all = (root, out) => {
    for (const one of root.querySelectorAll('*')) {
      out.push(one)
      if (one.shadowRoot) all(one.shadowRoot, out)
    }
    return out
  }
  const clipped = (one, box) => {   // what of the box the scrolling ancestors let through
    let {left, right, top, bottom} = box
    for (let up = parentOf(one); up; up = parentOf(up)) {
      const style = getComputedStyle(up)
      if (style.overflow == 'visible' || style.display == 'contents') continue
      const edge = up.getBoundingClientRect()
      left = Math.max(left, edge.left);
      right = Math.min(right, edge.right);
      top = Math.max(top, edge.top);
      bottom = Math.min(bottom, edge.bottom)
    }
    return {left, right, top, bottom}
  }
  const numbers = (colour) => {
    const part = (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number)
    return [part[0], part[1], part[2], part[3] ?? 1]
  }
  const light = ([r, g, b]) => [r, g, b]
    .map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = (one) => {
    for (let up = one; up; up = parentOf(up)) {
      const style = getComputedStyle(up), colour = numbers(style.backgroundColor)
      const stripe = style.backgroundImage.match(/rgb\([^)]*\)/)
      if (stripe) return numbers(stripe[0])
      if (colour[3] > 0.5) return colour
    }
    return [255, 255, 255, 1]
  }
  const brightness = (one) => {   // of the filters over it
    let factor = 1
    for (let up = one; up; up = parentOf(up))
      factor *= Number(getComputedStyle(up).filter.match(/brightness\(([\d.]+)\)/)?.[1] ?? 1)
    return factor
  }
  const isFixed = (one) => {
    for (let up = one; up; up = parentOf(up)) if (getComputedStyle(up).position == 'fixed') return true
    return false
  }
  const scrolls = (one) => {
    for (let up = one; up; up = parentOf(up)) if (up.classList?.contains('scroll')) return true
    return false
  }
  for (const one of all(document, [])) {
    if (['SCRIPT', 'STYLE', 'OPTION', 'SELECT', 'NOSCRIPT', 'TITLE'].includes(one.tagName)) continue
    if (one.classList?.contains('scroll') && one.scrollWidth > one.clientWidth + 1)
      found.push(`a table is cut at its right edge: ${one.getAttribute('aria-label')} at ${one.clientWidth} px`)
    const text = [...one.childNodes].filter(node => node.nodeType == 3 && node.textContent.trim())
    if (!text.length) continue
    const style = getComputedStyle(one)
    if (style.visibility == 'hidden' || style.display == 'none' || one.closest('[disabled]')) continue
    const range = document.createRange()
    range.selectNodeContents(one)
    const whole = range.getBoundingClientRect(), box = clipped(one, whole), words = one.innerText.trim().slice(0, 40)
    if (!words || box.right - box.left < 1 || box.bottom - box.top < 1) continue
    const isBrief = one.classList.contains('brief')   // told in full in the line it opens
    if (!isBrief && (box.right < whole.right - 2 || whole.right > width + 1))
      found.push(`cut at the right: "${words}"`)
    const [paper, ink] = [light(ground(one)), light(numbers(style.color).map(v => Math.min(255, v * brightness(one))))]
    const contrast = (Math.max(paper, ink) + 0.05) / (Math.min(paper, ink) + 0.05)
    if (contrast < 4.5) found.push(`contrast ${contrast.toFixed(2)}: "${words}" ${style.color}`)
    for (const node of text) {
      range.selectNodeContents(node)
      for (const line of range.getClientRects())
        texts.push({one, words, isFixed: isFixed(one), scrolls: scrolls(one), ...clipped(one, line)})
    }
  }
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const [a, b] = [texts[i], texts[j]]
    if (a.one === b.one || a.isFixed != b.isFixed) continue
    if (a.scrolls && b.scrolls) continue   // a table's rows pass under its head
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
    if (wide > 2 && high > 3) found.push(`"${a.words}" and "${b.words}" overlap by ${wide.toFixed(0)} x ${high.toFixed(0)}`)
  }
  return [...new Set(found)]
}
