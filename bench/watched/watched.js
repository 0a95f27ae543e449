// Watches the objects of a class from outside: what they write, and how long they are busy.

/** Over all objects. Rows as the platform counts them; busy while a call or something it left behind goes on. */
export const figures = { rows: 0, alarms: 0, busyMs: 0 };

const cursors = [];

/** A cursor knows what it wrote when it has been read. */
export function answer() {
  for (const cursor of cursors.splice(0)) figures.rows += cursor.rowsWritten;
  return Response.json(figures);
}

export function watched(Class) {
  class Watched extends Class {
    #open = 0;
    #since = 0;

    constructor(ctx, env) {
      super(ctx, env);
      const waitUntil = (promise) => ctx.waitUntil(this.busy(() => promise));
      this.ctx = over(ctx, { waitUntil, storage: storage(ctx.storage) });
      if (this.sql) this.sql = sql(this.sql);
    }

    async busy(work) {
      if (this.#open++ === 0) this.#since = Date.now();
      try {
        return await work();
      } finally {
        if (--this.#open === 0) figures.busyMs += Date.now() - this.#since;
      }
    }
  }
  for (const name of methods(Class)) {
    Watched.prototype[name] = function (...args) {
      return this.busy(() => Class.prototype[name].apply(this, args));
    };
  }
  return Watched;
}

/** What is called from outside. */
function methods(Class) {
  const inner = ["constructor", "insert", "page", "read", "tail"];
  const own = Object.getOwnPropertyNames(Class.prototype).filter((name) => !inner.includes(name));
  return own.includes("fetch") || own.includes("alarm") ? own : ["fetch"];
}

const sql = (real) =>
  over(real, {
    exec(...args) {
      const cursor = real.exec(...args);
      cursors.push(cursor);
      return cursor;
    },
  });

const storage = (real) =>
  over(real, {
    sql: sql(real.sql),
    setAlarm(at) {
      figures.alarms += 1;
      return real.setAlarm(at);
    },
  });

/** Another face of a platform's object. */
function over(real, own) {
  return new Proxy(real, {
    get(_, name) {
      if (name in own) return own[name];
      const value = real[name];
      return typeof value === "function" ? value.bind(real) : value;
    },
  });
}
