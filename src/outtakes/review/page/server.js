// What the page asks its server, and how it tells of trouble.

// The server has another opinion of what stands; `decisions` is it.
export class Conflict extends Error {
  constructor(decisions) {
    super("changed elsewhere");
    this.decisions = decisions;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("outtakes review has ended; start it again");
  }
  const content = await response.json().catch(() => ({ error: response.statusText }));
  if (response.status === 409) throw new Conflict(content);
  if (!response.ok) throw new Error(content.error);
  return content;
}

export const get = (path) => ask(path);

// `keepalive`: what was pressed just before a reload still arrives.
export const post = (path, content) =>
  ask(path, { method: "POST", body: JSON.stringify(content), keepalive: true });
