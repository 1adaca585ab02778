# syntax=docker/dockerfile:1
# One image for every program of DOMS; the command says which: migrate, worker, api or sandbox.

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
# The lock also names what only development and the embedded stack need. So its wheels are fetched, each checked by its
# hash, and pip then installs from these alone what the project itself asks for.
RUN --mount=type=cache,target=/root/.cache/pip \
    pip download --quiet --require-hashes --only-binary :all: --no-deps --dest /wheels --requirement requirements.lock
COPY activities ./activities
COPY shared ./shared
COPY workers ./workers
COPY workflows ./workflows
RUN python -m venv /app \
 && /app/bin/pip install --quiet --no-index --find-links /wheels hatchling editables \
 && /app/bin/pip install --quiet --no-index --find-links /wheels --no-build-isolation . \
 && /app/bin/pip uninstall --quiet --yes hatchling editables

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/doms doms
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 DOMS_HOME=/var/lib/doms DOMS_LOG_FORMAT=json
WORKDIR /var/lib/doms
USER doms
# exec form: the program itself receives SIGTERM and finishes its activities
ENTRYPOINT ["doms"]
CMD ["--help"]
