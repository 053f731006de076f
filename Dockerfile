# The dashboard for a lab server, on CPUs. See docs/guide/server.md; `docker compose up --build` builds and starts it.
FROM python:3.12-slim

# Address of a package index with PyTorch for CPUs only; without it the image is some gigabytes larger.
ARG TORCH_INDEX=""

WORKDIR /src
COPY . .
RUN PIP_EXTRA_INDEX_URL="$TORCH_INDEX" pip install --no-cache-dir '.[dashboard,train,vendor]' && rm -rf /src/*

RUN useradd --create-home --uid 1000 spinecore && mkdir -p /data/workspace /data/stacks && chown spinecore /data/workspace
USER spinecore
WORKDIR /home/spinecore
ENV SPINECORE_WORKSPACE=/data/workspace SPINECORE_DATA_ROOT=/data/stacks
VOLUME /data/workspace
EXPOSE 8501
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=5)"]
# All addresses of the container: compose.yaml says who can reach them.
CMD ["spinecore", "dashboard", "--no-browser", "--address", "0.0.0.0", "--port", "8501"]
