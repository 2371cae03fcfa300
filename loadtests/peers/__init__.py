"""The service beside NATS JetStream and Centrifugo, each under the same load: `make peers`."""
