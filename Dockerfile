# whalefinder on the CPU, without root. Recordings and results are in the volume /data:
#   docker build -t whalefinder .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" whalefinder locate night.wav -a array.toml -o results
# PyTorch from the usual index brings gigabytes for GPUs; its index of CPU wheels as PIP_EXTRA_INDEX_URL spares them.
FROM python:3.12-slim
ARG PIP_EXTRA_INDEX_URL
WORKDIR /opt/whalefinder
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY whalefinder whalefinder
RUN pip install --no-cache-dir -c constraints.txt '.[archive]'
# The user is a number, which need not be known to the image, and may be another (--user).
WORKDIR /data
RUN chmod 1777 .
ENV HOME=/tmp
USER 1000:1000
VOLUME /data
ENTRYPOINT ["whalefinder"]
CMD ["--help"]
