# The two commands in a container:
#
#     docker build -t dgn .
#     docker run --rm -v "$PWD/outputs:/home/dgn/dgn/outputs" dgn make demo
#     docker run --rm dgn make test
#
# The steps are those of .ci/run, which is what is tested: a checkout, then make. Everything is installed while the
# image is built, so that neither command needs the network. The mounted folder must be writable by user 1000.
FROM python:3.13-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 dgn
USER dgn
WORKDIR /home/dgn/dgn
COPY --chown=dgn . .
RUN make install-dev && mkdir -p outputs

CMD ["make", "demo"]
