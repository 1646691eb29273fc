# engage-sync as a container: a build stage with the compiler's leftovers, and a small one that runs as nobody's root.
#   docker build -t engage-sync .
#   docker run -v "$PWD/acme:/project" --env-file acme.env -p 127.0.0.1:8080:8080 engage-sync
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
COPY config config
COPY connectors connectors
COPY src src
# The lock file also names what only the tests need; what the program needs is what its metadata says, at these versions.
RUN python -m venv /opt/engage-sync \
 && /opt/engage-sync/bin/pip install --no-cache-dir --disable-pip-version-check "hatchling>=1.25" \
 && sed -E '/^[a-zA-Z0-9]/!d; s/ \\$//' requirements.lock > constraints.txt \
 && /opt/engage-sync/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt . \
 && /opt/engage-sync/bin/pip uninstall --yes --quiet hatchling pip \
 && find /opt/engage-sync -name __pycache__ -prune -exec rm -r {} + \
 && python -m compileall -qq /opt/engage-sync

FROM python:3.13-slim
COPY --from=build /opt/engage-sync /opt/engage-sync
RUN useradd --uid 10001 --no-create-home --home-dir /project --shell /usr/sbin/nologin engage \
 && mkdir /project && chown engage /project
ENV PATH=/opt/engage-sync/bin:$PATH PYTHONUNBUFFERED=1
USER engage
WORKDIR /project
VOLUME /project
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["engage-sync"]
CMD ["daemon"]
