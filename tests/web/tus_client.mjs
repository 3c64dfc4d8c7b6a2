// SPDX-License-Identifier: Apache-2.0
// Drives tus-js-client against a server: node tus_client.mjs <what> <endpoint> <file> [size]
import { createRequire } from "node:module"
import { PassThrough } from "node:stream"
import * as fs from "node:fs"

const require = createRequire(process.env.S3MPU_NODE_MODULES + "/x.js")
const tus = require("tus-js-client")
const [what, endpoint, path, sizeText] = process.argv.slice(2)
const chunkSize = Number(sizeText ?? 6 * 1024 * 1024)
const common = { endpoint, retryDelays: [0, 100, 300, 1000, 2000], metadata: { filename: "ä.bin" } }

function run(source, options) {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(source, {
      ...common,
      ...options,
      onSuccess: () => resolve(upload),
      onError: reject,
    })
    options.begin ? options.begin(upload, resolve) : upload.start()
  })
}

async function interrupted() {
  // Aborted in the middle of a request, then continued by another object with the same URL.
  const size = fs.statSync(path).size
  const url = await new Promise((resolve, reject) => {
    const upload = new tus.Upload(fs.createReadStream(path, { highWaterMark: 65536 }), {
      ...common,
      chunkSize: Infinity,
      uploadSize: size,
      onError: reject,
      onProgress: (sent) => {
        if (sent > size / 2) upload.abort().then(() => resolve(upload.url))
      },
    })
    upload.start()
  })
  const upload = await run(fs.createReadStream(path), { uploadUrl: url, chunkSize, uploadSize: size })
  return upload.url
}

const actions = {
  interrupted,
  parallel: async () =>
    (await run(fs.createReadStream(path), {
      parallelUploads: 4,
      chunkSize,
    })).url,
  // Piped, since of a file's own stream tus-js-client 4.3.1 announces a last chunk that is too long.
  deferred: async () =>
    (await run(fs.createReadStream(path).pipe(new PassThrough()), {
      uploadLengthDeferred: true,
      chunkSize,
    })).url,
  creation: async () =>
    (await run(fs.createReadStream(path), {
      uploadDataDuringCreation: true,
      chunkSize,
      uploadSize: fs.statSync(path).size,
    })).url,
  override: async () =>
    (await run(fs.createReadStream(path), {
      overridePatchMethod: true,
      chunkSize,
      uploadSize: fs.statSync(path).size,
    })).url,
  terminated: async () => {
    const size = fs.statSync(path).size
    const upload = await run(fs.createReadStream(path), { chunkSize, uploadSize: size })
    await upload.abort(true)
    return upload.url
  },
}

actions[what]().then(
  (url) => console.log(JSON.stringify({ url })),
  (error) => {
    console.error(String(error))
    process.exit(1)
  },
)
