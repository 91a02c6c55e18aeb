# pgpc on Debian 12, for the CPU: `docker build -t pgpc .`. How to run it, and what was not: docs/platforms.md.
FROM node:22-bookworm-slim

# What set-up would install by apt; besides, ffmpeg reads videos, and overlays need a font for their legend.
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    cmake \
    ffmpeg \
    fonts-dejavu-core \
    g++ \
    libdeflate-dev \
    libgloo-dev \
    libopenblas0-openmp \
    libtorch-dev \
    make \
  && rm -rf /var/lib/apt/lists/*

# Where every user finds the compiled parts.
ENV PGPC_CACHE=/opt/pgpc-cache
RUN install -d -o node -g node /opt/pgpc /opt/pgpc-cache /work

USER node
WORKDIR /opt/pgpc
COPY --chown=node:node . .
RUN npm run setup && npm cache clean --force

WORKDIR /work
ENTRYPOINT ["node", "/opt/pgpc/packages/pgpc/bin/pgpc.js"]
CMD ["--help"]
