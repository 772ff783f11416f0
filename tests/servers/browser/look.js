// Opens every view that can be reached from the first page, and says what is wrong with it, a line each:
// answers that are errors, console errors, requests elsewhere, faults that axe finds, overflow on a phone,
// and views that need JavaScript. Exits with 1 if there is anything.
'use strict';
const fs = require('fs');
const path = require('path');
const {chromium} = require('playwright-core');

const [root, folder] = [process.argv[2].replace(/\/?$/, '/'), process.argv[3]];
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const LOOKS = [
  {name: 'light', viewport: {width: 1280, height: 900}, colorScheme: 'light'},
  {name: 'dark', viewport: {width: 1280, height: 900}, colorScheme: 'dark'},
  {name: 'phone', viewport: {width: 390, height: 844}, colorScheme: 'light', deviceScaleFactor: 2},
  {name: 'plain', viewport: {width: 1280, height: 900}, colorScheme: 'light', javaScriptEnabled: false},
];
const faults = [];
const say = (view, look, what) => faults.push(`${view} (${look}): ${what}`);

// One view of each kind, and every view of a model's own.
const kind = (url) => url.replace(root, '').replace(/\?.*/, '');
const wanted = (url) => url.startsWith(root) && !/^(api\/|metrics)/.test(kind(url));
// Features look alike: so many of a model are looked at.
const FEATURES = 3;

async function visit(browser, look, views) {
  const context = await browser.newContext({...look, bypassCSP: false});
  const seen = new Set();
  const waiting = views ? [...views] : [root];
  while (waiting.length) {
    const url = waiting.shift();
    const view = kind(url) || '/';
    const siblings = view.replace(/(features\/).*/, '$1');
    if (seen.has(view) || (siblings !== view && [...seen].filter((v) => v.startsWith(siblings)).length >= FEATURES)) continue;
    seen.add(view);
    const page = await context.newPage();
    page.on('console', (message) => message.type() === 'error' && say(view, look.name, `console: ${message.text()}`));
    page.on('pageerror', (error) => say(view, look.name, `script: ${error.message}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(root) && !request.url().startsWith('data:')) say(view, look.name, `fetches ${request.url()}`);
    });
    const answer = await page.goto(url, {waitUntil: 'load'});
    if (answer.status() !== 200) say(view, look.name, `status ${answer.status()}`);
    if (!/script-src 'sha256-|style-src 'unsafe-inline'/.test(answer.headers()['content-security-policy'] ?? '') ) say(view, look.name, 'no policy of what it may load');
    if (look.javaScriptEnabled !== false) await inspect(page, view, look);
    const words = await page.locator('main').innerText();
    if (words.trim().length < 20) say(view, look.name, `shows nothing: ${words}`);
    if (folder) {
      const file = `${view.replace(/[^A-Za-z0-9]+/g, '_') || 'index'}-${look.name}.png`;
      await page.screenshot({path: path.join(folder, file), fullPage: true});
    }
    if (!views) {
      const links = await page.locator('a[href]').evaluateAll((all) => all.map((a) => a.href.replace(/#.*/, '')));
      waiting.push(...links.filter(wanted));
    }
    await page.close();
  }
  await context.close();
  return seen;
}

// Of models and incidents the first; of its features those that are looked at.
function oneOfAKind(views) {
  const kinds = new Map();
  for (const view of views) {
    const of = view.replace(/^(models|incidents)\/[^/]+/, '$1/*');
    if (!kinds.has(of)) kinds.set(of, view);
  }
  return [...kinds.values()];
}

async function inspect(page, view, look) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 1) say(view, look.name, `is ${wide} px wider than the screen`);
  // The page's own policy keeps foreign scripts out; an evaluated one is the tester's.
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, {resultTypes: ['violations']}));
  for (const fault of found.violations) {
    say(view, look.name, `axe ${fault.id} (${fault.impact}): ${fault.nodes.slice(0, 3).map((n) => n.target.join(' ')).join('; ')}: ${fault.nodes[0].failureSummary.replace(/\s+/g, ' ')}`);
  }
}

async function behave(browser) {
  const context = await browser.newContext({viewport: {width: 1280, height: 900}});
  const page = await context.newPage();
  await page.goto(root);
  const model = await page.locator('main h2 a').first().getAttribute('href');
  await page.goto(new URL(model, root).href);
  const names = () => page.locator('table.sort').first().locator('tbody th').allInnerTexts();
  const button = page.locator('table.sort').first().locator('thead th button').first();
  await button.click();
  const [up, sorted] = [await names(), [...await names()].sort((a, b) => a.localeCompare(b))];
  if (up.join() !== sorted.join()) say('model', 'sort', `${up}`);
  await button.click();
  const down = await names();
  if (down.join() !== sorted.reverse().join()) say('model', 'sort', `downwards ${down}`);
  // Numbers renew themselves while nobody reads, also after a click on some text: a mark that is put there goes.
  await page.locator('main h2').first().click();
  await page.evaluate(() => {
    const mark = document.createElement('i');
    mark.id = 'stale';
    document.getElementById('live').append(mark);
  });
  await page.waitForFunction(() => !document.getElementById('stale'), null, {timeout: 60000})
    .catch(() => say('model', 'updates', 'the numbers do not renew themselves'));
  const again = await names();
  if (again.join() !== down.join()) say('model', 'updates', `the order is lost: ${again}`);
  // Whoever goes through it by keyboard is not disturbed, and told so.
  await page.keyboard.press('Tab');
  await page.waitForFunction(() => document.getElementById('updates').textContent.includes('updates wait'), null, {timeout: 60000})
    .catch(() => say('model', 'updates', 'that they wait for the keyboard is not said'));
  const band = page.locator('rect.band').first();
  await band.hover({force: true});
  if (!await page.locator('.tip').isVisible()) say('model', 'pointer', 'nothing is told');
  await context.close();
}

(async () => {
  if (folder) fs.mkdirSync(folder, {recursive: true});
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
  });
  let views, all;
  for (const look of LOOKS) {
    const seen = await visit(browser, look, views);
    views ??= oneOfAKind([...seen]).map((view) => root + (view === '/' ? '' : view));
    all ??= [...seen];
  }
  await behave(browser);
  await browser.close();
  console.log(all.join('\n'));
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length ? 1 : 0;
})().catch((error) => {
  console.error(error);
  process.exitCode = 2;
});
