# The image for users:      docker build -t ottla .      (with BuildKit, which is what Docker uses since version 23)
# Where nothing is pulled:  image/build, which makes image.tar of a ready static binary, and then docker build --target ready

FROM scratch AS settings
ENV PATH=/opt/kafka/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CLUSTER_ID=4L6g3nShT-eMCtK--X86sw
WORKDIR /home/appuser
EXPOSE 9092
CMD ["/etc/kafka/docker/run"]

FROM settings AS ready
ADD image.tar /

FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev gcc g++ make cmake busybox-static ca-certificates
WORKDIR /source
COPY . .
RUN cargo build --release --features s3 && strip target/release/ottla && \
    image/assemble target/release/ottla /bin/busybox.static /etc/ssl/certs/ca-certificates.crt /tree

FROM settings AS ottla
COPY --from=build /tree/ /
