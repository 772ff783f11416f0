(() => {
  'use strict';
  const live = document.getElementById('live');
  const orders = new Map();

  const key = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    if (a !== '' && b !== '' && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    if (a === '' || b === '') return (a === '') - (b === '');
    return a.localeCompare(b);
  };
  const arrange = (table, i, down) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, n) => [key(row, i), n, row]);
    rows.sort((a, b) => (down && a[0] !== '' && b[0] !== '' ? -1 : 1) * compare(a[0], b[0]) || a[1] - b[1]);
    body.append(...rows.map((row) => row[2]));
    [...table.tHead.rows[0].cells].forEach((th, n) => {
      if (n === i) th.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      else th.removeAttribute('aria-sort');
    });
  };
  const sortable = () => document.querySelectorAll('table.sort').forEach((table, t) => {
    [...table.tHead.rows[0].cells].forEach((th, i) => {
      if (th.tagName !== 'TH' || !th.textContent.trim()) return;
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener('click', () => {
        const numeric = th.classList.contains('n') || th.dataset.down !== undefined;
        const before = th.getAttribute('aria-sort');
        const down = before ? before === 'ascending' : numeric;
        orders.set(t, [i, down]);
        arrange(table, i, down);
      });
    });
    if (orders.has(t)) arrange(table, ...orders.get(t));
  });

  // What a picture says where the pointer is.
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener('pointermove', (event) => {
    const band = event.target instanceof Element && event.target.closest('.band, .tells');
    tip.hidden = !band;
    if (!band) return;
    const title = band.querySelector('title');
    if (title) {
      band.dataset.tip = title.textContent;
      title.remove();
    }
    tip.textContent = band.dataset.tip;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${window.scrollX + Math.max(8, Math.min(event.clientX + 14, room))}px`;
    tip.style.top = `${window.scrollY + event.clientY + 16}px`;
  });

  // New numbers without a reload; nothing moves under somebody who reads, selects or types.
  const updates = document.getElementById('updates');
  let paused = false;
  if (updates) {
    const button = document.createElement('button');
    const said = document.createElement('span');
    button.type = 'button';
    const show = () => {
      button.textContent = paused ? 'Resume updates' : 'Pause updates';
    };
    button.addEventListener('click', () => {
      paused = !paused;
      show();
    });
    show();
    updates.replaceChildren(said, button);
    // A click on any text focuses `live` itself, or the part that can be scrolled: nobody is at work there.
    const working = () => {
      const at = document.activeElement;
      return at !== live && live.contains(at) && at.matches('input, select, textarea, :focus-visible');
    };
    const reading = () => working() || !tip.hidden || !(window.getSelection()?.isCollapsed ?? true);
    const busy = () => paused || document.hidden || reading();
    const look = async () => {
      if (busy()) {
        if (!paused && !document.hidden) said.textContent = 'updates wait';
      } else {
        try {
          const answer = await fetch(location.href, {headers: {accept: 'text/html'}});
          const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
          const next = page.getElementById('live');
          if (next && !busy()) {
            live.replaceChildren(...next.childNodes);
            sortable();
            said.textContent = `as of ${new Date().toLocaleTimeString()}`;
          } else if (!next) {
            said.textContent = `answer ${answer.status}`;
          }
        } catch {
          said.textContent = 'driftd does not answer';
        }
      }
      setTimeout(look, 5000);
    };
    setTimeout(look, 5000);
  }
  sortable();
})();
