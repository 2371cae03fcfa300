// Starts the emulator on a free port, prints the port, and ends with the process that started it.
"use strict";

const server = require("@vercel/cosmosdb-server").createHttpServer({ keepAlive: true, keepAliveTimeout: 65000 });

server.listen(Number(process.env.PORT || 0), "127.0.0.1", () => console.log(`READY ${server.address().port}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
