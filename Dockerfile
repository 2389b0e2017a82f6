# An image of the static binary, the roots of the public certificate authorities, and nothing else:
#
#   docker build --target cfcache --tag cfcache .
#
# `cargo xtask dist` follows these steps as far as they go without an engine: it puts the image's files together, and runs
# the binary among them as the image's user.

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
# What `purge changed` remembers is below /data: mount something there that is kept.
ENV XDG_STATE_HOME=/data
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/cfcache"]
