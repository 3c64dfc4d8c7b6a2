// SPDX-License-Identifier: Apache-2.0
// The page of the tests: an Uppy with the plugin that a test asks for, and what happened to it.

// Every part differs from its neighbours: the block's length is a prime.
const BLOCK = Uint8Array.from({ length: 65537 }, (_, i) => ((i * i) >>> 3) ^ i)

window.bytes = (size) => {
  const whole = Math.floor(size / BLOCK.length)
  const rest = BLOCK.slice(0, size - whole * BLOCK.length)
  return [...Array(whole).fill(BLOCK), rest]
}

window.begin = async ({ version, plugin, options, retriever, pauseAfter, signs }) => {
  const uppy6 = await import(`/uppy-${version}.mjs`)
  const uppy = new uppy6.Uppy({ id: plugin })
  const state = { parts: 0, bytes: 0, done: [], failed: [], ended: 0, restored: 0, expired: 0 }
  window.uppy = uppy
  window.state = state
  if (signs) {
    options.signRequest = async (wanted) => {
      const answer = await fetch(signs, { method: "POST", body: JSON.stringify(wanted) })
      if (!answer.ok) throw new Error((await answer.json()).error)
      return answer.json()
    }
  }
  uppy.use(uppy6[plugin], options)
  if (retriever) uppy.use(uppy6.GoldenRetriever, { indexedDB: { maxFileSize: 1e9, maxTotalSize: 1e9 } })
  uppy.on("s3-multipart:part-uploaded", () => {
    state.parts += 1
    if (state.parts === pauseAfter) uppy.pauseAll()
  })
  uppy.on("upload-progress", (file, progress) => {
    state.bytes = progress.bytesUploaded
    if (plugin === "Tus" && pauseAfter && state.bytes >= pauseAfter && !state.paused) {
      state.paused = true
      uppy.pauseAll()
    }
  })
  uppy.on("upload-success", (file, response) => state.done.push({ ...response.body, url: response.uploadURL }))
  uppy.on("upload-error", (file, error) => state.failed.push(String(error?.message ?? error)))
  uppy.on("complete", () => (state.ended += 1))
  uppy.on("error", (error) => console.log(`uppy: ${error?.message ?? error}`))
  uppy.on("restored", () => (state.restored += 1))
}

window.take = (name, size, type = "text/plain") => {
  const data = new File(window.bytes(size), name, { type, lastModified: 1 })
  return window.uppy.addFile({ name, type, data })
}

// Not awaited: a test waits for what it wants to see.
window.upload = () => void window.uppy.upload().catch((error) => window.state.failed.push(String(error)))
document.title = "ready"
