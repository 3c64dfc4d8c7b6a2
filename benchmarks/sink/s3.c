/* SPDX-License-Identifier: Apache-2.0
 * The S3 verbs a client may use, path style. Each handler answers one request; a negative
 * result drops the connection. */
#define _GNU_SOURCE
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define XMLNS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define NO_DIGEST "d41d8cd98f00b204e9800998ecf8427e"

/* The ETag of a body: the client's own MD5 when it sent one, since a discarded body cannot be
 * hashed; the real MD5 when it was kept. -1 when a digest that came along does not fit. */
static int judge_body(struct request *q, char etag[33])
{
    memcpy(etag, q->md5[0] ? q->md5 : NO_DIGEST, 33);
    if (!settings.verify)
        return 0;
    const unsigned char *data = q->body ? q->body : (const unsigned char *)"";
    md5_hex(data, (size_t)q->body_size, etag);
    int wrong = q->md5[0] && strcmp(q->md5, etag);
    if (q->sha256[0] && !q->aws_chunked) {
        char sha256[65];
        sha256_hex(data, (size_t)q->body_size, sha256);
        wrong |= strcasecmp(sha256, q->sha256) != 0;
    }
    if (wrong)
        count(&counters.digest_errors, 1);
    return wrong ? -1 : 0;
}

static int answer_stored(struct connection *c, struct request *q, const char *etag)
{
    char headers[256], checksum[160] = "";
    if (q->checksum_name[0])
        snprintf(checksum, sizeof checksum, "x-amz-checksum-%s: %s\r\n", q->checksum_name,
                 q->checksum_value);
    snprintf(headers, sizeof headers, "ETag: \"%s\"\r\n%s", etag, checksum);
    return http_answer(c, q, 200, headers, "");
}

static int put_part(struct connection *c, struct request *q, const char *id, int number)
{
    char etag[33];
    count(&counters.part_requests, 1);
    if (http_read_body(c, q, settings.verify) < 0)
        return -1;
    int wrong = judge_body(q, etag);
    pause_seconds(settings.latency_seconds);
    if (number < 1 || number > MAX_PARTS)
        return http_error(c, q, 400, "InvalidArgument");
    if (wrong)
        return http_error(c, q, 400, "BadDigest");
    if (upload_put_part(id, number, etag, q) < 0)
        return http_error(c, q, 404, "NoSuchUpload");
    return answer_stored(c, q, etag);
}

static int put_object(struct connection *c, struct request *q)
{
    char etag[33];
    if (http_read_body(c, q, settings.verify) < 0)
        return -1;
    int wrong = judge_body(q, etag);
    pause_seconds(settings.latency_seconds);
    if (wrong)
        return http_error(c, q, 400, "BadDigest");
    object_put(q->path, etag, q);
    return answer_stored(c, q, etag);
}

static int put(struct connection *c, struct request *q)
{
    char number[16], id[40];
    int is_part = http_query(q->query, "partNumber", number, sizeof number)
        && http_query(q->query, "uploadId", id, sizeof id);
    flight(1);
    int failed = is_part ? put_part(c, q, id, atoi(number)) : put_object(c, q);
    flight(-1);
    return failed;
}

static int initiate(struct connection *c, struct request *q)
{
    char id[40], body[512];
    upload_begin(q->path, id);
    snprintf(body, sizeof body, XML "<InitiateMultipartUploadResult" XMLNS "><Bucket>bench</Bucket>"
             "<UploadId>%s</UploadId></InitiateMultipartUploadResult>", id);
    return http_answer(c, q, 200, NULL, body);
}

static int complete(struct connection *c, struct request *q, const char *id)
{
    char etag[48], body[512];
    const char *wrong = upload_complete(id, q->body ? (char *)q->body : "", etag);
    if (wrong)
        return http_error(c, q, strcmp(wrong, "NoSuchUpload") ? 400 : 404, wrong);
    snprintf(body, sizeof body, XML "<CompleteMultipartUploadResult" XMLNS "><Bucket>bench</Bucket>"
             "<ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>", etag);
    return http_answer(c, q, 200, NULL, body);
}

static int post(struct connection *c, struct request *q)
{
    char id[40];
    if (http_read_body(c, q, 1) < 0)
        return -1;
    pause_seconds(settings.latency_seconds);
    if (http_query(q->query, "uploads", NULL, 0))
        return initiate(c, q);
    if (http_query(q->query, "uploadId", id, sizeof id))
        return complete(c, q, id);
    if (http_query(q->query, "delete", NULL, 0))
        return http_answer(c, q, 200, NULL, XML "<DeleteResult" XMLNS "/>");
    return http_error(c, q, 400, "InvalidRequest");
}

/* GET and HEAD of a bucket, an upload or an object; only virtual objects have a body. */
static int look(struct connection *c, struct request *q)
{
    char id[40], etag[48], headers[256];
    const char *slash = strchr(q->path + 1, '/');
    int head = !strcmp(q->method, "HEAD");
    long long size;
    if (!slash || !slash[1]) {
        if (head)
            return http_answer(c, q, 200,
                               "x-amz-bucket-region: us-east-1\r\nContent-Length: 0\r\n", NULL);
        if (http_query(q->query, "location", NULL, 0))
            return http_answer(c, q, 200, NULL, XML "<LocationConstraint" XMLNS "/>");
        if (http_query(q->query, "uploads", NULL, 0))
            return http_answer(c, q, 200, NULL, XML "<ListMultipartUploadsResult" XMLNS ">"
                               "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>");
        return virtual_list(c, q);
    }
    if (!head && http_query(q->query, "uploadId", id, sizeof id)) {
        char *xml = upload_list(id);
        int failed = xml ? http_answer(c, q, 200, NULL, xml)
            : http_error(c, q, 404, "NoSuchUpload");
        free(xml);
        return failed;
    }
    if ((size = virtual_size(slash + 1)) >= 0)
        return virtual_answer(c, q, size, head);
    if (!head || !object_find(q->path, &size, etag))
        return http_error(c, q, 404, "NoSuchKey");
    snprintf(headers, sizeof headers, "ETag: \"%s\"\r\nContent-Length: %lld\r\nAccept-Ranges: bytes"
             "\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", etag, size);
    return http_answer(c, q, 200, headers, NULL);
}

static int answer_delete(struct connection *c, struct request *q)
{
    char id[40];
    if (http_query(q->query, "uploadId", id, sizeof id) && upload_abort(id) < 0)
        return http_error(c, q, 404, "NoSuchUpload");
    return http_answer(c, q, 204, NULL, NULL);
}

int s3_handle(struct connection *c, struct request *q)
{
    count(&counters.requests, 1);
    if (!strcmp(q->method, "PUT"))
        return put(c, q);
    if (!strcmp(q->method, "POST"))
        return post(c, q);
    if (http_read_body(c, q, 0) < 0)
        return -1;
    pause_seconds(settings.latency_seconds);
    if (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD"))
        return look(c, q);
    if (!strcmp(q->method, "DELETE"))
        return answer_delete(c, q);
    return http_error(c, q, 400, "MethodNotAllowed");
}
