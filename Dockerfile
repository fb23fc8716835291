# One image a process: docker build --build-arg SERVICE=edge-service -t emailmcp/edge .
# SERVICE is edge-service, oauth-service, mailer-service, report-service, google-sandbox or emailmcp.

FROM swift:6.3-bookworm AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    pkg-config libnghttp2-dev libssl-dev libcurl4-openssl-dev libpq-dev zlib1g-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Package.swift ./
COPY Sources Sources
COPY Proto Proto
COPY Tests Tests
COPY Examples Examples
ARG SERVICE=edge-service
RUN swift build -c release --static-swift-stdlib --product "$SERVICE" \
  && install -D "$(swift build -c release --static-swift-stdlib --show-bin-path)/$SERVICE" /out/process

FROM debian:12-slim
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    ca-certificates tzdata libnghttp2-14 libssl3 libcurl4 libpq5 zlib1g \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --user-group --no-create-home emailmcp \
  && install -d -o emailmcp -g emailmcp -m 700 /var/lib/emailmcp
COPY --from=build /out/process /usr/local/bin/process
USER 10001:10001
ENTRYPOINT ["/usr/local/bin/process"]
