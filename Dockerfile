# engage-sync as a container: a stage that builds and tidies, and a small one that runs without root. ./acme belongs to the
# id below: `chown -R 10001 acme`.
#   docker build -t engage-sync .
#   docker run -v "$PWD/acme:/project" --env-file acme/.env engage-sync
FROM python:3.13-slim AS build
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends binutils
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
COPY config config
COPY connectors connectors
COPY src src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The lock file also names what only the tests need; what the program needs is what its metadata says, at these versions.
RUN sed -E '/^[a-zA-Z0-9]/!d; s/ \\$//' requirements.lock > constraints.txt \
 && python -m venv /build && /build/bin/pip install --constraint constraints.txt hatchling \
 && /build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && python -m venv --without-pip /opt/engage-sync \
 && /build/bin/pip --python /opt/engage-sync install --no-compile --constraint constraints.txt /wheel/*.whl
# What libraries bring and nothing here opens goes: their tests, C++ headers, Arrow's Flight and its S3 (the event store has
# its own), symbols for debuggers. Then the program shows that it works without: `test` runs the examples of a new project.
RUN cd /opt/engage-sync/lib/python3.*/site-packages \
 && find . -type d \( -name tests -o -path ./pyarrow/include \) -prune -exec rm -r {} + \
 && find pyarrow \( -name '*_flight.*' -o -name 'libarrow_s3.*' -o -name '_s3fs.*' \) -delete \
 && find . -name '*.so*' -exec strip --strip-unneeded {} + \
 && python -W ignore -m compileall -qq /opt/engage-sync \
 && /opt/engage-sync/bin/engage-sync init /tmp/trial --crm hubspot --crm salesforce --sandbox \
 && /opt/engage-sync/bin/engage-sync test --project /tmp/trial

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
