/* SPDX-License-Identifier: Apache-2.0
 *
 * The sink: the part of the S3 protocol that clients use which upload, download and list, on
 * loopback. Every body that comes is thrown away as cheaply as the kernel allows, and what goes out
 * is the same few pages over and over. One thread per connection; no signature is checked.
 * Commands come on standard input ("reset", "report"), answers go to standard output, one JSON line
 * each; the end of standard input ends the process, so no sink outlives its runner.
 */
#ifndef SINK_H
#define SINK_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define BUFFER_SIZE 65536
#define MAX_PARTS 10000
#define MIN_PART_SIZE (5LL << 20)
/* A prime below 8 MiB: ranges that are swapped or come twice change the bytes of the whole. */
#define PERIOD 8388593

struct settings {
    int port, keys;             /* keys: how many a listing has */
    int verify;                 /* keep bodies, and hash every object */
    double latency_seconds;     /* slept before each answer */
    double connect_seconds;     /* slept once per new connection; twice with TLS */
    double bytes_per_second;    /* cap of each connection; 0: none */
    const char *address, *certificate, *key;
};
extern struct settings settings;

/* ---- net.c */
struct connection {
    int fd;
    void *tls;
    size_t start, end;          /* unread bytes in buffer */
    double paid_until;          /* when the bytes taken so far are due at the capped rate */
    char buffer[BUFFER_SIZE];
};
double clock_seconds(void);
void pause_seconds(double seconds);
int tls_setup(void);
int tls_accept(struct connection *c);
void tls_close(struct connection *c);
int net_fill(struct connection *c);
int net_send(struct connection *c, const void *data, size_t size);
int net_take(struct connection *c, long long size, unsigned char *into);
int net_line(struct connection *c, char *out, size_t capacity);
int net_send_content(struct connection *c, long long offset, long long size);

/* ---- digest.c */
void md5_hex(const unsigned char *data, size_t size, char out[33]);
void sha256_hex(const unsigned char *data, size_t size, char out[65]);
struct sha256_state { uint32_t h[8]; uint64_t total; unsigned char block[64]; };
void sha256_begin(struct sha256_state *s);
void sha256_more(struct sha256_state *s, const unsigned char *data, size_t size);
void sha256_end_hex(struct sha256_state *s, char out[65]);
int base64_md5_to_hex(const char *text, char out[33]);

/* ---- http.c */
struct request {
    char head[BUFFER_SIZE + 1];
    const char *method, *path, *query;
    int keep_alive, chunked, aws_chunked, expects_continue;
    long long length, decoded_length;
    char md5[33], sha256[65], checksum_name[24], checksum_value[100];
    char range[64], if_match[64];
    long long body_size;        /* payload bytes, after aws-chunked decoding */
    unsigned char *body;        /* NULL unless kept */
};
int http_read_head(struct connection *c, struct request *q);
int http_read_body(struct connection *c, struct request *q, int keep);
int http_query(const char *query, const char *name, char *out, size_t capacity);
int http_answer(struct connection *c, struct request *q, int status, const char *headers,
                const char *body);
int http_error(struct connection *c, struct request *q, int status, const char *code);

/* ---- store.c */
struct counters {
    long long requests, connections, connections_now, connections_peak, in_flight, in_flight_peak,
        part_requests, parts_stored, object_count, object_bytes, bytes_on_wire, digest_errors,
        bad_requests, expect_100, aws_chunked, aborts, get_requests, list_requests, bytes_sent;
};
extern struct counters counters;
extern pthread_mutex_t store_lock;      /* guards counters and everything in store.c */
struct part { long long size; char etag[33]; unsigned char *data; };
struct upload {
    char id[40];
    char *path;
    int part_limit;                     /* parts[] holds numbers 1 .. part_limit - 1 */
    struct part *parts;
    struct upload *next;
};
void count(long long *counter, long long by);
void flight(int change);
void store_reset(void);
void store_report(FILE *out);
void upload_begin(const char *path, char id[40]);
int upload_put_part(const char *id, int number, const char *etag, struct request *q);
const char *upload_complete(const char *id, const char *xml, char etag[48]);
int upload_abort(const char *id);
char *upload_list(const char *id);
void object_put(const char *path, const char *etag, struct request *q);
int object_find(const char *path, long long *size, char etag[48]);

/* ---- virtual.c */
struct content { int fd; const char *data; };       /* PERIOD bytes, as a file and in memory */
extern struct content content;
int content_open(const char *path);
long long virtual_size(const char *key);
int virtual_answer(struct connection *c, struct request *q, long long size, int head);
int virtual_list(struct connection *c, struct request *q);

/* ---- s3.c */
int s3_handle(struct connection *c, struct request *q);

#endif
