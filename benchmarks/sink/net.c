/* SPDX-License-Identifier: Apache-2.0
 * Bytes in and out of one connection, plain or TLS, at the pace asked for. Knows no HTTP. */
#define _GNU_SOURCE
#include "sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>

#ifdef SINK_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls_context;
#endif

#define TLS_SCRATCH (256 << 10)
#define PACED_STEP (128 << 10)
#define PACED_BURST 0.005

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void pause_seconds(double seconds)
{
    if (seconds <= 0)
        return;
    struct timespec rest = { .tv_sec = (time_t)seconds };
    rest.tv_nsec = (long)((seconds - (double)rest.tv_sec) * 1e9);
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

int tls_setup(void)
{
#ifdef SINK_TLS
    tls_context = SSL_CTX_new(TLS_server_method());
    if (!tls_context
        || SSL_CTX_use_certificate_chain_file(tls_context, settings.certificate) != 1
        || SSL_CTX_use_PrivateKey_file(tls_context, settings.key, SSL_FILETYPE_PEM) != 1)
        return -1;
    SSL_CTX_set_min_proto_version(tls_context, TLS1_2_VERSION);
    SSL_CTX_set_mode(tls_context, SSL_MODE_AUTO_RETRY);
    /* Several records per read(2): the sink must not be what a TLS client waits for. */
    SSL_CTX_set_read_ahead(tls_context, 1);
    SSL_CTX_set_default_read_buffer_len(tls_context, PACED_STEP);
    return 0;
#else
    return -1;
#endif
}

int tls_accept(struct connection *c)
{
#ifdef SINK_TLS
    SSL *tls = SSL_new(tls_context);
    c->tls = tls;
    return tls && SSL_set_fd(tls, c->fd) == 1 && SSL_accept(tls) == 1 ? 0 : -1;
#else
    (void)c;
    return -1;
#endif
}

void tls_close(struct connection *c)
{
#ifdef SINK_TLS
    if (c->tls) {
        if (SSL_is_init_finished(c->tls))
            SSL_shutdown(c->tls);
        SSL_free(c->tls);
    }
#endif
    c->tls = NULL;
}

static ssize_t read_some(struct connection *c, void *into, size_t size, int flags)
{
#ifdef SINK_TLS
    if (c->tls)
        return SSL_read(c->tls, into, (int)size);
#endif
    ssize_t got;
    do
        got = recv(c->fd, into, size, flags);
    while (got < 0 && errno == EINTR);
    return got;
}

int net_send(struct connection *c, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        ssize_t sent;
#ifdef SINK_TLS
        if (c->tls)
            sent = SSL_write(c->tls, from, (int)size);
        else
#endif
            sent = send(c->fd, from, size, MSG_NOSIGNAL);
        if (sent < 0 && !c->tls && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        from += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Get more bytes behind the unread ones; fails when the buffer is full or the peer is gone. */
int net_fill(struct connection *c)
{
    if (c->start > 0) {
        memmove(c->buffer, c->buffer + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end == BUFFER_SIZE)
        return -1;
    ssize_t got = read_some(c, c->buffer + c->end, BUFFER_SIZE - c->end, 0);
    if (got <= 0)
        return -1;
    c->end += (size_t)got;
    return 0;
}

static void pay(struct connection *c, long long size)
{
    if (settings.bytes_per_second <= 0)
        return;
    double now = clock_seconds();
    if (c->paid_until < now - PACED_BURST)
        c->paid_until = now - PACED_BURST;
    c->paid_until += (double)size / settings.bytes_per_second;
    pause_seconds(c->paid_until - now);
}

/* Take `size` body bytes into `into`, or away: MSG_TRUNC drops them inside the kernel, uncopied. */
int net_take(struct connection *c, long long size, unsigned char *into)
{
    static __thread unsigned char *scratch;
    long long buffered = (long long)(c->end - c->start);
    if (buffered > size)
        buffered = size;
    if (buffered > 0) {
        if (into)
            memcpy(into, c->buffer + c->start, (size_t)buffered);
        c->start += (size_t)buffered;
        pay(c, buffered);
    }
    if (c->tls && !into && !scratch)
        scratch = malloc(TLS_SCRATCH);
    for (long long done = buffered; done < size;) {
        long long want = size - done;
        long long most = settings.bytes_per_second > 0 ? PACED_STEP : 1LL << 30;
        char unused[8];
        ssize_t got;
        if (c->tls && !into && most > TLS_SCRATCH)
            most = TLS_SCRATCH;
        if (want > most)
            want = most;
        if (into)
            got = read_some(c, into + done, (size_t)want, 0);
        else if (c->tls)
            got = read_some(c, scratch, (size_t)want, 0);
        else
            got = read_some(c, unused, (size_t)want, MSG_TRUNC);
        if (got <= 0)
            return -1;
        done += got;
        pay(c, got);
    }
    return 0;
}

/* Send bytes of the content over and over, from `offset` of the endless file that this makes. Plain
 * ones are never copied on this side; TLS encrypts them from where they are. */
int net_send_content(struct connection *c, long long offset, long long size)
{
    while (size > 0) {
        long long at = offset % PERIOD, step = PERIOD - at;
        ssize_t sent;
        if (settings.bytes_per_second > 0 && step > PACED_STEP)
            step = PACED_STEP;
        if (step > size)
            step = size;
        if (c->tls)
            sent = net_send(c, content.data + at, (size_t)step) < 0 ? -1 : (ssize_t)step;
        else {
            off_t from = (off_t)at;
            sent = sendfile(c->fd, content.fd, &from, (size_t)step);
        }
        if (sent < 0 && !c->tls && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        offset += sent;
        size -= sent;
        count(&counters.bytes_sent, sent);
        pay(c, sent);
    }
    return 0;
}

/* One line without its end; what exceeds `capacity` is dropped. */
int net_line(struct connection *c, char *out, size_t capacity)
{
    size_t length = 0;
    for (;;) {
        if (c->start == c->end && net_fill(c) < 0)
            return -1;
        char byte = c->buffer[c->start++];
        if (byte == '\n')
            break;
        if (byte != '\r' && length + 1 < capacity)
            out[length++] = byte;
    }
    out[length] = 0;
    return (int)length;
}
