const shelf = globalThis.futuresAlgoBokeh ??= {}   // version -> promise of Bokeh
function load(model, version) {
  return shelf[version] ??= new Promise(found => {
    const listen = (content, buffers) => {
      if (content.kind != 'bokeh') return
      model.off('msg:custom', listen)
      const root = {}, kept = globalThis.Bokeh
      new Function(new TextDecoder().decode(buffers[0])).call(root)
      const Bokeh = root.Bokeh ?? globalThis.Bokeh
      if (kept) globalThis.Bokeh = kept
      found(Bokeh)
    }
    model.on('msg:custom', listen)
    model.send({kind: 'bokeh'})
  })
}
export default {
  async render({model, el}) {
    const key = Math.random().toString(36).slice(2)
    let shown = null, Bokeh = null, views = null
    const draw = async content => {
      views?.clear?.()
      el.replaceChildren()
      const target = el.appendChild(document.createElement('div'))
      shown = Bokeh.require("document").Document.from_json(content)
      views = await Bokeh.embed.add_document_standalone(shown, target)
      shown.on_change(event => {
        if (event.kind == 'MessageSent') model.send({kind: 'patch', patch: shown.create_json_patch([event])})
      })
      el.bokehDocument = shown
    }
    const listen = async (content, buffers) => {
      if (!Bokeh) return
      if (content.kind == 'document' && (!content.key || content.key == key)) await draw(content.document)
      if (content.kind == 'patch' && shown) shown.apply_json_patch(
        JSON.parse(content.patch),
        new Map(content.ids.map((id, i) => [id, buffers[i].buffer.slice(
          buffers[i].byteOffset, buffers[i].byteOffset + buffers[i].byteLength
        )]))
      )
    }
    model.on('msg:custom', listen)
    Bokeh = await load(model, model.get('version'))
    model.send({kind: 'document', key})
    return () => {
      model.off('msg:custom', listen);
      views?.clear?.();
      el.replaceChildren()
    }
  }
}
