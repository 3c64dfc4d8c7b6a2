/* SPDX-License-Identifier: Apache-2.0
 * Arguments, the accepting loop, and the commands on standard input. */
#define _GNU_SOURCE
#include "sink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A client cannot run far ahead of a capped connection, as a long road with little room in it. */
#define PACED_RECEIVE_BUFFER (256 << 10)
#define THREAD_STACK (512 << 10)

struct settings settings = { .address = "127.0.0.1" };

static void note_connection(int change)
{
    pthread_mutex_lock(&store_lock);
    counters.connections += change > 0;
    counters.connections_now += change;
    if (counters.connections_now > counters.connections_peak)
        counters.connections_peak = counters.connections_now;
    pthread_mutex_unlock(&store_lock);
}

static void *serve(void *argument)
{
    struct connection *c = argument;
    struct request *q = calloc(1, sizeof *q);
    int one = 1, alive = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    pause_seconds(settings.connect_seconds * (settings.certificate ? 2 : 1));
    if (settings.certificate)
        alive = tls_accept(c) == 0;
    while (alive && http_read_head(c, q) == 0) {
        alive = s3_handle(c, q) == 0 && q->keep_alive;
        free(q->body);
        q->body = NULL;
    }
    free(q->body);
    tls_close(c);
    close(c->fd);
    note_connection(-1);
    free(q);
    free(c);
    return NULL;
}

static void *obey(void *unused)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (!strncmp(line, "reset", 5))
            store_reset();
        store_report(stdout);
    }
    (void)unused;
    _exit(0);
}

static int listen_on(void)
{
    int one = 1, room = PACED_RECEIVE_BUFFER;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)settings.port) };
    socklen_t size = sizeof at;
    at.sin_addr.s_addr = inet_addr(settings.address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (settings.bytes_per_second > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (ntohl(at.sin_addr.s_addr) >> 24 != 127) {
        fprintf(stderr, "the sink listens on loopback only\n");
        return -1;
    }
    if (bind(fd, (struct sockaddr *)&at, size) < 0 || listen(fd, 512) < 0
        || getsockname(fd, (struct sockaddr *)&at, &size) < 0) {
        perror("the sink cannot listen");
        return -1;
    }
    settings.port = ntohs(at.sin_port);
    return fd;
}

static int parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--verify")) {
            settings.verify = 1;
            continue;
        }
        if (i + 1 == argc)
            return -1;
        const char *value = argv[++i];
        if (!strcmp(name, "--port"))
            settings.port = atoi(value);
        else if (!strcmp(name, "--address"))
            settings.address = value;
        else if (!strcmp(name, "--certificate"))
            settings.certificate = value;
        else if (!strcmp(name, "--keys"))
            settings.keys = atoi(value);
        else if (!strcmp(name, "--content") && content_open(value) == 0)
            continue;
        else if (!strcmp(name, "--key"))
            settings.key = value;
        else if (!strcmp(name, "--latency-ms"))
            settings.latency_seconds = atof(value) / 1e3;
        else if (!strcmp(name, "--connect-ms"))
            settings.connect_seconds = atof(value) / 1e3;
        else if (!strcmp(name, "--connection-mbps"))
            settings.bytes_per_second = atof(value) * 1e6;
        else
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    pthread_attr_t detached;
    int fd;
    signal(SIGPIPE, SIG_IGN);
    if (parse(argc, argv) < 0) {
        fprintf(stderr, "sink [--port N] [--address 127.x.y.z] [--certificate FILE --key FILE] "
                "[--content FILE] [--keys N] [--verify] [--latency-ms X] [--connect-ms X] [--connection-mbps X]\n");
        return 2;
    }
    if (settings.certificate && tls_setup() < 0) {
        fprintf(stderr, "the sink cannot use this certificate\n");
        return 1;
    }
    if ((fd = listen_on()) < 0)
        return 1;
    printf("{\"port\": %d}\n", settings.port);
    fflush(stdout);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, THREAD_STACK);
    pthread_create(&thread, &detached, obey, NULL);
    for (;;) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (peer < 0) {
            pause_seconds(0.001);
            continue;
        }
        struct connection *c = calloc(1, sizeof *c);
        c->fd = peer;
        note_connection(1);
        if (pthread_create(&thread, &detached, serve, c) != 0) {
            close(peer);
            note_connection(-1);
            free(c);
        }
    }
}
