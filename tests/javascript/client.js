// Tasks for the CloudEvents SDK: values come as JSON on standard input, the result goes as JSON to standard output.
const { CloudEvent, HTTP } = require("cloudevents");

const BATCH = "application/cloudevents-batch+json";

// An event of the SDK. `octets` are data in base64.
const eventOf = ({ octets, ...attributes }) =>
  new CloudEvent(octets ? { ...attributes, data: new Uint8Array(Buffer.from(octets, "base64")) } : attributes);

// The SDK has no function for a batch.
const messages = {
  structured: (events) => events.map((event) => HTTP.structured(event)),
  binary: (events) => events.map((event) => HTTP.binary(event)),
  batch: (events) => [{ headers: { "content-type": BATCH }, body: JSON.stringify(events) }],
};

// The events of a message. The SDK checks them strictly.
const received = (headers, body) => {
  const events = [HTTP.toEvent({ headers, body })].flat();
  events.forEach((event) => event.validate());
  return events.map((event) => event.toJSON());
};

const tasks = {
  async publish({ url, headers, mode, events }) {
    const responses = [];
    for (const message of messages[mode](events.map(eventOf))) {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...message.headers, ...headers },
        body: message.body,
      });
      responses.push({ status: response.status, body: await response.json() });
    }
    return responses;
  },

  async page({ url, headers }) {
    const response = await fetch(url, { headers });
    return received(Object.fromEntries(response.headers), await response.text());
  },

  async stream({ url, headers, count }) {
    const response = await fetch(url, { headers: { ...headers, accept: "text/event-stream" } });
    const events = [];
    let text = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const parts = (text + chunk).split("\n\n");
      text = parts.pop();
      for (const data of parts.map((part) => part.match(/^data: (.*)$/m)).filter(Boolean))
        events.push(...received({ "content-type": "application/cloudevents+json" }, data[1]));
      if (events.length >= count) break;
    }
    return events;
  },
};

const chunks = [];
process.stdin.on("data", (chunk) => chunks.push(chunk));
process.stdin.on("end", async () => {
  const result = await tasks[process.argv[2]](JSON.parse(Buffer.concat(chunks)));
  process.stdout.write(JSON.stringify(result));
});
