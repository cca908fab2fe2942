# The operator's image: the operator and what it links. No shell, no package manager, no certificate
# authorities: it trusts the one of its cluster, which the kubelet mounts.
#   buildah bud .
ARG BASE=docker.io/library/debian:bookworm-slim

# The same as in sandbox-image/Dockerfile, so that a builder's cache has it.
FROM ${BASE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends \
      build-essential ca-certificates ccache cmake ninja-build pkg-config \
      libarchive-dev libboost-dev libcli11-dev libcpprest-dev libcurl4-openssl-dev libfmt-dev \
      liblzma-dev libsimdjson-dev libspdlog-dev libssl-dev libyaml-cpp-dev libzstd-dev zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The program that becomes /operator: a target of cmake.
ARG TARGET=operator
RUN --mount=type=cache,target=/root/.cache/ccache \
    cmake --preset release -B build -DSANDBOXRUN_TESTS=OFF \
    && cmake --build build --target ${TARGET} \
    && cmake/image_root.sh /image / ${TARGET}=operator

FROM scratch
LABEL org.opencontainers.image.title="SandboxRun operator" \
      org.opencontainers.image.description="Runs SandboxRuns on a Kubernetes cluster" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/operator"]
