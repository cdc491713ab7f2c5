# One image for every process of a pipeline and for the command line; docker-compose.yml says which of them runs.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# What changes rarely comes first, so that an edit of the code builds in seconds. Wheels only: no compiler is needed.
COPY requirements-run.lock /build/
RUN pip install --only-binary :all: --require-hashes -r /build/requirements-run.lock

COPY LICENSE README.md docker-compose.yml pipeline.yaml pyproject.toml /build/
COPY consumers /build/consumers
COPY topics /build/topics
COPY streambg /build/streambg
RUN pip install --no-deps --no-build-isolation /build

# A pipeline is a folder. Its files are root's and only read; versions of models are added to models/, a volume that
# takes over owner and mode from here.
WORKDIR /pipeline
RUN useradd --uid 1000 --create-home streambg \
    && cp -r /build/consumers /build/topics /build/pipeline.yaml . \
    && chmod -R go=rX . \
    && install -d -o streambg -g streambg models \
    && rm -r /build
USER 1000:1000

# Each process serves /healthz on its own loopback (docker-compose.yml gives it this port); 503 raises here.
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9100/healthz', timeout=3)"]

CMD ["streambg", "--help"]
