# rlhf in a container: docker build -t rlhf . && docker run --rm -v "$PWD:/work" rlhf run --set quick=true
# With a GPU: --gpus all and the vendor's Vulkan driver in the container; without one it computes on the CPU.
FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libvulkan1 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/rlhf /usr/local/bin/rlhf
WORKDIR /work
ENTRYPOINT ["rlhf"]
