#!/usr/bin/env node
// An agent in JavaScript, without any package: words.js SOCKET
"use strict";

const net = require("node:net");
const readline = require("node:readline");

const SLOTS = 4;
const skills = {
  count_words: {
    declared: {
      slots: SLOTS,
      description: "How often each word occurs in a text.",
      input_schema: {
        type: "object",
        properties: { text: { type: "string" } },
        required: ["text"],
        additionalProperties: false,
      },
      output_schema: { type: "object", additionalProperties: { type: "integer" } },
    },
    async run({ text }) {
      const counts = {};
      for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
        counts[word] = (counts[word] ?? 0) + 1;
      }
      return counts;
    },
  },
};

const peer = net.connect(process.argv[2]);
const say = (message) => peer.write(JSON.stringify(message) + "\n");
const waiting = [];
const stopped = new Map(); // from a job's number to the reason why it was stopped
let running = 0;
let leaving = false;

function next() {
  while (running < SLOTS && waiting.length > 0) {
    running += 1;
    work(waiting.shift());
  }
  if (leaving && running === 0) peer.end();
}

async function work(job) {
  const end = { job: job.job };
  try {
    if (!stopped.has(job.job)) end.value = await skills[job.skill].run(job.input);
    end.status = "ok";
  } catch (error) {
    end.status = "failed"; // it is tried again, as often as the skill or the caller says
    end.error_kind = error.name;
    end.error_message = String(error.stack);
  }
  if (stopped.has(job.job)) end.status = stopped.get(job.job);
  stopped.delete(job.job);
  say({ type: "ended", ends: [end] });
  running -= 1;
  next();
}

readline.createInterface({ input: peer }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.type === "run") {
    waiting.push(...message.jobs);
  } else if (message.type === "stop") {
    for (const job of message.jobs) stopped.set(job, message.reason);
  } else if (message.type === "goodbye") {
    leaving = true;
  } else if (message.type === "refused") {
    console.error(`the peer refused: ${message.kind}: ${message.message}`);
    process.exitCode = 1;
    peer.end();
  }
  next();
});
peer.on("error", (error) => {
  console.error(`no peer at ${process.argv[2]}: ${error.message}`);
  process.exitCode = 1;
});

say({ type: "hello", role: "worker", name: "words.js", pid: process.pid });
say({
  type: "register",
  agent: "words",
  skills: Object.entries(skills).map(([name, skill]) => ({ name, ...skill.declared })),
});
