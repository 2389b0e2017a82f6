# Two images, each with only a static binary and the public root certificates:
#
#   docker build --target cfcache --tag cfcache .
#   docker build --target cfcache-queue --tag cfcache-queue .
#
# `cargo xtask dist` follows these steps without a container engine: it collects the files of each image, and runs the
# binary with only these files as the image's user.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN mkdir -p /out/data

FROM build AS build-cfcache
RUN cargo xtask binary cfcache /out/cfcache

FROM scratch AS cfcache
LABEL org.opencontainers.image.title="cfcache" \
      org.opencontainers.image.description="Purge and manage Cloudflare's cache from a shell or a CI job" \
      org.opencontainers.image.source="https://github.com/cfcache/cfcache" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build-cfcache /out/cfcache /cfcache
# The state of `purge changed` is below /data: mount a persistent volume there.
ENV XDG_STATE_HOME=/data
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/cfcache"]

FROM build AS build-cfcache-queue
RUN cargo xtask binary cfcache-queue /out/cfcache-queue

FROM scratch AS cfcache-queue
LABEL org.opencontainers.image.title="cfcache-queue" \
      org.opencontainers.image.description="A queue in front of Cloudflare's cache purge API" \
      org.opencontainers.image.source="https://github.com/cfcache/cfcache" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build-cfcache-queue /out/cfcache-queue /cfcache-queue
# Without DATABASE_URL the queue is a file below /data: mount a persistent volume there.
ENV XDG_STATE_HOME=/data
VOLUME /data
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/cfcache-queue"]
# Nobody can reach a loopback address of a container. The mounted file contains the sources and their permissions;
# without sources the queue refuses to listen for other machines.
EXPOSE 8789 8790
CMD ["serve", "--config", "/etc/cfcache-queue.toml", "--listen", "0.0.0.0:8789", "--admin-listen", "0.0.0.0:8790"]
