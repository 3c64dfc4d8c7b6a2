// SPDX-License-Identifier: Apache-2.0
// Chromium by playwright-core for tests in Python: one JSON object a line in, one out.
// usage: node bridge.mjs MODULES CHROMIUM
import { createInterface } from "node:readline"
import { createRequire } from "node:module"

const require = createRequire(`${process.argv[2]}/x.js`)
const { chromium } = require("playwright-core")
const browser = await chromium.launch({
  executablePath: process.argv[3],
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
})
const contexts = []
const tabs = []

function add(list, value) {
  list.push(value)
  return list.length - 1
}

// One rule for requests: the first `times` that match are answered, broken, delayed (before or after
// the server has it) or held.
async function rule({ tab, method, pattern, act, times, status, seconds }) {
  let left = times
  const matches = (url) => new RegExp(pattern).test(url.href)
  await tabs[tab].page.route(matches, async (route) => {
    if (route.request().method() !== method || left <= 0) return route.fallback()
    left -= 1
    const answer = act === "late" ? await route.fetch() : null
    tabs[tab].ruled += 1
    if (act === "hold") return
    if (act === "break") return route.abort("connectionreset")
    if (act === "answer") {
      const headers = { "Access-Control-Allow-Origin": "*" }
      return route.fulfill({ status, headers, body: "<Error><Code>SlowDown</Code></Error>" })
    }
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    return answer ? route.fulfill({ response: answer }) : route.continue()
  })
}

const operations = {
  context: async () => add(contexts, await browser.newContext()),
  async tab({ context }) {
    const page = await contexts[context].newPage()
    const tab = { page, said: [], requests: [], ruled: 0 }
    page.on("console", (message) => tab.said.push(`${message.type()}: ${message.text()}`))
    page.on("pageerror", (error) => tab.said.push(`pageerror: ${error}`))
    page.on("response", (response) => {
      const request = response.request()
      tab.requests.push([request.method(), request.url().split("?")[0], response.status()])
    })
    page.on("requestfailed", (request) => {
      tab.requests.push([request.method(), request.url().split("?")[0], 0])
    })
    return add(tabs, tab)
  },
  goto: async ({ tab, url }) => (await tabs[tab].page.goto(url)).status(),
  reload: async ({ tab }) => (await tabs[tab].page.reload()).status(),
  run: ({ tab, source, given }) =>
    tabs[tab].page.evaluate(`(async (given) => ${source})(${JSON.stringify(given)})`),
  // Not waitForFunction, which a page's own policy against eval would stop.
  async until({ tab, source, given, seconds }) {
    const text = `(() => { const given = ${JSON.stringify(given)}; return ${source} })()`
    for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
      const found = await tabs[tab].page.evaluate(text)
      if (found) return found
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Error(`not true after ${seconds} s`)
  },
  rule,
  files: ({ tab, selector, paths }) => tabs[tab].page.setInputFiles(selector, paths),
  click: ({ tab, selector }) => tabs[tab].page.click(selector, { timeout: 5000 }),
  async picture({ tab, path, width, height }) {
    await tabs[tab].page.setViewportSize({ width, height })
    await tabs[tab].page.screenshot({ path })
  },
  told: ({ tab }) => ({
    said: tabs[tab].said,
    requests: tabs[tab].requests,
    ruled: tabs[tab].ruled,
  }),
  close: ({ tab }) => tabs[tab].page.close(),
  leave: ({ context }) => contexts[context].close(),
}

process.stdout.write(JSON.stringify({ ready: browser.version() }) + "\n")
for await (const line of createInterface({ input: process.stdin })) {
  const { operation, ...given } = JSON.parse(line)
  let answer
  try {
    answer = { value: (await operations[operation](given)) ?? null }
  } catch (error) {
    answer = { error: String(error.message ?? error) }
  }
  process.stdout.write(JSON.stringify(answer) + "\n")
}
await browser.close()
