/* SPDX-License-Identifier: Apache-2.0
 * HTTP/1.1 requests and answers, with the aws-chunked encoding of bodies. Knows no S3 verb. */
#define _GNU_SOURCE
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static void copy(char *to, size_t capacity, const char *from)
{
    snprintf(to, capacity, "%s", from);
}

static void take_header(struct request *q, const char *name, char *value)
{
    if (!strcasecmp(name, "content-length"))
        q->length = atoll(value);
    else if (!strcasecmp(name, "transfer-encoding"))
        q->chunked = strcasestr(value, "chunked") != NULL;
    else if (!strcasecmp(name, "content-encoding"))
        q->aws_chunked |= strcasestr(value, "aws-chunked") != NULL;
    else if (!strcasecmp(name, "x-amz-decoded-content-length"))
        q->decoded_length = atoll(value);
    else if (!strcasecmp(name, "content-md5"))
        base64_md5_to_hex(value, q->md5);
    else if (!strcasecmp(name, "range"))
        copy(q->range, sizeof q->range, value);
    else if (!strcasecmp(name, "if-match"))
        copy(q->if_match, sizeof q->if_match, value);
    else if (!strcasecmp(name, "expect"))
        q->expects_continue = 1;
    else if (!strcasecmp(name, "connection") && strcasestr(value, "close"))
        q->keep_alive = 0;
    else if (!strcasecmp(name, "x-amz-content-sha256")) {
        if (!strncasecmp(value, "STREAMING-", 10))
            q->aws_chunked = 1;
        else if (strlen(value) == 64)
            copy(q->sha256, sizeof q->sha256, value);
    } else if (!strncasecmp(name, "x-amz-checksum-", 15)) {
        const char *kind = name + 15;
        if (strcasecmp(kind, "algorithm") && strcasecmp(kind, "type") && strcasecmp(kind, "mode")) {
            copy(q->checksum_name, sizeof q->checksum_name, kind);
            copy(q->checksum_value, sizeof q->checksum_value, value);
        }
    }
}

static int parse_target(struct request *q, char *line)
{
    char *save = NULL, *target, *version, *mark;
    q->method = strtok_r(line, " ", &save);
    target = strtok_r(NULL, " ", &save);
    version = strtok_r(NULL, " ", &save);
    if (!q->method || !target || !version)
        return -1;
    q->keep_alive = strcmp(version, "HTTP/1.0") != 0;
    if ((mark = strstr(target, "://")))         /* absolute form */
        target = strchr(mark + 3, '/');
    if (!target)
        return -1;
    q->path = target;
    q->query = "";
    if ((mark = strchr(target, '?'))) {
        *mark = 0;
        q->query = mark + 1;
    }
    return 0;
}

/* -1 when the peer has gone or what it says is no HTTP. */
int http_read_head(struct connection *c, struct request *q)
{
    char *from, *end;
    for (;;) {
        from = c->buffer + c->start;
        end = memmem(from, c->end - c->start, "\r\n\r\n", 4);
        if (end)
            break;
        if (net_fill(c) < 0)
            return -1;
    }
    size_t size = (size_t)(end - from) + 2;      /* keeps the end of the last line */
    memcpy(q->head, from, size);
    q->head[size] = 0;
    c->start += size + 2;
    memset((char *)q + sizeof q->head, 0, sizeof *q - sizeof q->head);
    q->length = q->decoded_length = -1;
    int first = 1;
    for (char *line = q->head, *stop; (stop = strstr(line, "\r\n")); line = stop + 2) {
        *stop = 0;
        if (first && parse_target(q, line) < 0)
            return -1;
        char *colon = first ? NULL : strchr(line, ':');
        if (colon) {
            *colon = 0;
            take_header(q, line, colon + 1 + strspn(colon + 1, " \t"));
        }
        first = 0;
    }
    return q->method ? 0 : -1;
}

static int read_chunked(struct connection *c, struct request *q, int keep)
{
    char line[512];
    long long capacity = 0;
    for (;;) {
        if (net_line(c, line, sizeof line) < 0)
            return -1;
        long long size = strtoll(line, NULL, 16);
        if (size == 0)
            break;
        if (keep && q->body_size + size > capacity) {
            capacity = 2 * (q->body_size + size);
            q->body = realloc(q->body, (size_t)capacity + 1);
        }
        if (net_take(c, size, keep ? q->body + q->body_size : NULL) < 0
            || net_line(c, line, sizeof line) < 0)
            return -1;
        q->body_size += size;
    }
    int length;
    while ((length = net_line(c, line, sizeof line)) > 0)
        continue;
    return length;
}

/* Strip the chunk heads of a kept aws-chunked body in place; what follows the last is dropped. */
static void decode_aws_chunked(struct request *q)
{
    long long from = 0, to = 0;
    while (from < q->body_size) {
        unsigned char *line = q->body + from;
        unsigned char *stop = memchr(line, '\n', (size_t)(q->body_size - from));
        if (!stop)
            break;
        long long size = strtoll((char *)line, NULL, 16);
        from = stop + 1 - q->body;
        if (size <= 0 || from + size > q->body_size)
            break;
        memmove(q->body + to, q->body + from, (size_t)size);
        to += size;
        from += size + 2;
    }
    q->body_size = to;
}

/* Read the whole body; with `keep` it is in q->body, ended by a zero byte, the caller's to free. */
int http_read_body(struct connection *c, struct request *q, int keep)
{
    if (q->expects_continue) {
        count(&counters.expect_100, 1);
        pause_seconds(settings.connect_seconds);
        if (net_send(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0)
            return -1;
    }
    if (q->chunked) {
        if (read_chunked(c, q, keep) < 0)
            return -1;
    } else if (q->length > 0) {
        if (keep)
            q->body = malloc((size_t)q->length + 1);
        if (net_take(c, q->length, q->body) < 0)
            return -1;
        q->body_size = q->length;
    }
    count(&counters.bytes_on_wire, q->body_size);
    if (q->aws_chunked) {
        count(&counters.aws_chunked, 1);
        if (q->body)
            decode_aws_chunked(q);
        else if (q->decoded_length >= 0)
            q->body_size = q->decoded_length;
        if (q->decoded_length >= 0 && q->decoded_length != q->body_size)
            count(&counters.bad_requests, 1);
    }
    if (q->body)
        q->body[q->body_size] = 0;
    return 0;
}

/* Whether the query names a parameter; its value, percent-decoded, goes to `out` when given. */
int http_query(const char *query, const char *name, char *out, size_t capacity)
{
    size_t length = strlen(name);
    for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
        if (strncmp(at, name, length) || !strchr("=&", at[length]))
            continue;                    /* strchr finds the closing zero too */
        size_t used = 0;
        const char *value = at + length + (at[length] == '=');
        for (; out && *value && *value != '&' && used + 1 < capacity; value++) {
            char hex[3] = { 0 };
            if (*value == '%' && value[1] && value[2]) {
                memcpy(hex, value + 1, 2);
                out[used++] = (char)strtol(hex, NULL, 16);
                value += 2;
            } else
                out[used++] = *value;
        }
        if (out)
            out[used] = 0;
        return 1;
    }
    return 0;
}

static const char *reason(int status)
{
    return status == 200 ? "OK" : status == 204 ? "No Content" : status == 206 ? "Partial Content"
        : status == 400 ? "Bad Request" : status == 404 ? "Not Found" : "Error";
}

/* Answer; `headers` are whole lines. A NULL body is none: for 204, and for HEAD, whose caller
 * says the length itself. */
int http_answer(struct connection *c, struct request *q, int status, const char *headers,
                const char *body)
{
    char date[40], length[48] = "";
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    char *answer;
    int size = asprintf(&answer, "HTTP/1.1 %d %s\r\nx-amz-id-2: sink\r\nx-amz-request-id: SINK\r\n"
                        "Date: %s\r\nServer: sink\r\n%s%s%s%s\r\n%s", status, reason(status), date,
                        q->keep_alive ? "" : "Connection: close\r\n",
                        body && *body ? "Content-Type: application/xml\r\n" : "",
                        headers ? headers : "", length, body ? body : "");
    if (size < 0)
        return -1;
    int failed = net_send(c, answer, (size_t)size);
    free(answer);
    return failed;
}

int http_error(struct connection *c, struct request *q, int status, const char *code)
{
    char body[256];
    snprintf(body, sizeof body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code>"
             "<Message>said the sink</Message><RequestId>SINK</RequestId></Error>", code);
    if (status == 400)
        count(&counters.bad_requests, 1);
    if (!strcmp(q->method, "HEAD"))
        return http_answer(c, q, status, "Content-Length: 0\r\n", NULL);
    return http_answer(c, q, status, NULL, body);
}
