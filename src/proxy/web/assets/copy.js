// SPDX-License-Identifier: Apache-2.0
// Adds a button to each command of a page that copies it. Without scripts, a click selects the command.
'use strict';
for (const box of document.querySelectorAll('.copy')) {
  const code = box.querySelector('code');
  if (!code || !navigator.clipboard) continue;
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'plain';
  button.textContent = 'Copy';
  button.setAttribute('aria-label', `Copy ${code.textContent}`);
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected';
    }
  });
  button.addEventListener('blur', () => { button.textContent = 'Copy'; });
  box.append(button);
}
