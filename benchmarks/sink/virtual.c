/* SPDX-License-Identifier: Apache-2.0
 * What reading clients get: objects that nobody stored and keys that nobody made. An object named
 * virtual/N has N bytes, those of the content file over and over; client/virtual.py reckons the
 * same. The keys are folder/sub folder/object-0000000.dat and so on: one space in each, so that
 * percent-encoded listings differ from plain ones. */
#define _GNU_SOURCE
#include "sink.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 1000
#define KEY_FORM "folder/sub%sfolder/object-%07d.dat"
#define ROW_ROOM 512

struct content content = { .fd = -1 };

int content_open(const char *path)
{
    struct stat found;
    content.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (content.fd < 0 || fstat(content.fd, &found) < 0 || found.st_size < PERIOD)
        return -1;
    content.data = mmap(NULL, PERIOD, PROT_READ, MAP_SHARED, content.fd, 0);
    return content.data == MAP_FAILED ? -1 : 0;
}

/* The size of a virtual object, or -1 where the key names none. */
long long virtual_size(const char *key)
{
    char *end;
    if (content.fd < 0 || strncmp(key, "virtual/", 8) || !isdigit((unsigned char)key[8]))
        return -1;
    long long size = strtoll(key + 8, &end, 10);
    return *end ? -1 : size;
}

/* Bytes *first to *behind - 1 as Range asks; 1 when it does, 0 for the whole object, -1 when there
 * are none such. What is no range of bytes is ignored, as HTTP has it. */
static int parse_range(const char *text, long long size, long long *first, long long *behind)
{
    char *end;
    *first = 0;
    *behind = size;
    if (strncmp(text, "bytes=", 6) || strchr(text, ','))
        return 0;
    text += 6;
    if (*text == '-') {
        long long last = strtoll(text + 1, NULL, 10);
        *first = last < size ? size - last : 0;
        return last > 0 && size > 0 ? 1 : -1;
    }
    *first = strtoll(text, &end, 10);
    if (end == text || *end != '-')
        return *first = 0;
    if (isdigit((unsigned char)end[1])) {
        long long last = strtoll(end + 1, NULL, 10);
        if (last + 1 < *behind)
            *behind = last + 1;
    }
    return *first < *behind ? 1 : -1;
}

int virtual_answer(struct connection *c, struct request *q, long long size, int head)
{
    char headers[512], etag[48], span[96] = "";
    long long first, behind;
    snprintf(etag, sizeof etag, "\"%032llx-7\"", (unsigned long long)size);
    if (q->if_match[0] && strcmp(q->if_match, "*") && strcmp(q->if_match, etag))
        return http_error(c, q, 412, "PreconditionFailed");
    int part = parse_range(q->range, size, &first, &behind);
    if (part < 0)
        return http_error(c, q, 416, "InvalidRange");
    if (part)
        snprintf(span, sizeof span, "Content-Range: bytes %lld-%lld/%lld\r\n", first, behind - 1,
                 size);
    snprintf(headers, sizeof headers, "ETag: %s\r\n%sContent-Length: %lld\r\nAccept-Ranges: bytes"
             "\r\nContent-Type: binary/octet-stream\r\n"
             "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", etag, span, behind - first);
    int failed = http_answer(c, q, part ? 206 : 200, headers, NULL);
    if (head || failed < 0)
        return failed;
    count(&counters.get_requests, 1);
    flight(1);
    failed = net_send_content(c, first, behind - first);
    flight(-1);
    return failed;
}

/* The number of the first key of a page: behind the token or marker that the client gives. */
static int page_begins(struct request *q, int v2)
{
    char text[256];
    if (v2 && http_query(q->query, "continuation-token", text, sizeof text))
        return atoi(text);
    if (!http_query(q->query, v2 ? "start-after" : "marker", text, sizeof text) || !text[0])
        return 0;
    const char *number = strstr(text, "object-");
    return number ? atoi(number + 7) + 1 : 0;
}

/* One page of ListObjects or ListObjectsV2. Nothing is cut by prefix or delimiter. */
int virtual_list(struct connection *c, struct request *q)
{
    char text[64];
    int v2 = http_query(q->query, "list-type", text, sizeof text) && !strcmp(text, "2");
    int encoded = http_query(q->query, "encoding-type", text, sizeof text) && !strcmp(text, "url");
    int owner = !v2 || (http_query(q->query, "fetch-owner", text, sizeof text)
                        && !strcmp(text, "true"));
    int most = http_query(q->query, "max-keys", text, sizeof text) ? atoi(text) : PAGE;
    if ((http_query(q->query, "prefix", text, sizeof text) && text[0])
        || (http_query(q->query, "delimiter", text, sizeof text) && text[0]))
        return http_error(c, q, 501, "NotImplemented");
    if (most < 1 || most > PAGE)
        most = PAGE;
    int begin = page_begins(q, v2);
    if (begin < 0 || begin > settings.keys)
        begin = settings.keys;
    int end = most < settings.keys - begin ? begin + most : settings.keys;
    size_t room = ROW_ROOM * (size_t)(end - begin + 3), used = 0;
    char *xml = malloc(room);
#define ADD(...) used += (size_t)snprintf(xml + used, room - used, __VA_ARGS__)
    ADD("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bench</Name><Prefix></Prefix>"
        "<MaxKeys>%d</MaxKeys><IsTruncated>%s</IsTruncated>", most,
        end < settings.keys ? "true" : "false");
    if (encoded)
        ADD("<EncodingType>url</EncodingType>");
    if (v2)
        ADD("<KeyCount>%d</KeyCount>", end - begin);
    if (v2 && end < settings.keys)
        ADD("<NextContinuationToken>%d</NextContinuationToken>", end);
    for (int n = begin; n < end; n++)
        ADD("<Contents><Key>" KEY_FORM "</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>"
            "<ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag><Size>%d</Size>%s"
            "<StorageClass>STANDARD</StorageClass></Contents>", encoded ? "+" : " ", n, n, owner
            ? "<Owner><ID>someid0123456789</ID><DisplayName>somebody</DisplayName></Owner>" : "");
    ADD("</ListBucketResult>");
#undef ADD
    count(&counters.list_requests, 1);
    int failed = http_answer(c, q, 200, NULL, xml);
    free(xml);
    return failed;
}
