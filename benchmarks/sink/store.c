/* SPDX-License-Identifier: Apache-2.0
 * What the sink remembers: open uploads, the latest objects, and the counters of its report. */
#define _GNU_SOURCE
#include "sink.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define OBJECTS_KEPT 64

struct object {
    char *path;
    long long size;
    int parts;
    char etag[48], sha256[65], *part_sizes;
};

struct counters counters;
pthread_mutex_t store_lock = PTHREAD_MUTEX_INITIALIZER;
static struct upload *uploads;
static struct object objects[OBJECTS_KEPT];    /* a ring; objects[n % OBJECTS_KEPT] is the nth */
static unsigned long objects_made, uploads_made;

void count(long long *counter, long long by)
{
    pthread_mutex_lock(&store_lock);
    *counter += by;
    pthread_mutex_unlock(&store_lock);
}

void flight(int change)
{
    pthread_mutex_lock(&store_lock);
    counters.in_flight += change;
    if (counters.in_flight > counters.in_flight_peak)
        counters.in_flight_peak = counters.in_flight;
    pthread_mutex_unlock(&store_lock);
}

static void forget_upload(struct upload *u)
{
    for (struct upload **at = &uploads; *at; at = &(*at)->next)
        if (*at == u) {
            *at = u->next;
            break;
        }
    for (int n = 1; n < u->part_limit; n++)
        free(u->parts[n].data);
    free(u->parts);
    free(u->path);
    free(u);
}

static void forget_object(struct object *o)
{
    free(o->path);
    free(o->part_sizes);
    memset(o, 0, sizeof *o);
}

/* Only between runs: an open upload loses its parts here. */
void store_reset(void)
{
    pthread_mutex_lock(&store_lock);
    while (uploads)
        forget_upload(uploads);
    for (int i = 0; i < OBJECTS_KEPT; i++)
        forget_object(&objects[i]);
    objects_made = 0;
    long long now = counters.connections_now;
    memset(&counters, 0, sizeof counters);
    counters.connections_now = counters.connections_peak = now;
    pthread_mutex_unlock(&store_lock);
}

static struct upload *find_upload(const char *id)
{
    struct upload *u = uploads;
    while (u && strcmp(u->id, id))
        u = u->next;
    return u;
}

void upload_begin(const char *path, char id[40])
{
    struct upload *u = calloc(1, sizeof *u);
    u->path = strdup(path);
    pthread_mutex_lock(&store_lock);
    snprintf(u->id, sizeof u->id, "sink-upload-%lu", ++uploads_made);
    memcpy(id, u->id, sizeof u->id);
    u->next = uploads;
    uploads = u;
    pthread_mutex_unlock(&store_lock);
}

/* Keep a part, taking q->body over; -1 when there is no such upload. */
int upload_put_part(const char *id, int number, const char *etag, struct request *q)
{
    pthread_mutex_lock(&store_lock);
    struct upload *u = find_upload(id);
    if (u) {
        if (number >= u->part_limit) {
            int limit = 2 * number + 2;
            u->parts = realloc(u->parts, (size_t)limit * sizeof *u->parts);
            memset(u->parts + u->part_limit, 0,
                   (size_t)(limit - u->part_limit) * sizeof *u->parts);
            u->part_limit = limit;
        }
        struct part *p = &u->parts[number];
        counters.parts_stored += p->etag[0] == 0;
        free(p->data);
        p->size = q->body_size;
        p->data = q->body;
        snprintf(p->etag, sizeof p->etag, "%s", etag);
        q->body = NULL;
    }
    pthread_mutex_unlock(&store_lock);
    return u ? 0 : -1;
}

/* The next free place of the ring, with the path and size set; store_lock is held. */
static struct object *new_object(const char *path, long long size)
{
    struct object *o = &objects[objects_made++ % OBJECTS_KEPT];
    forget_object(o);
    o->path = strdup(path);
    o->size = size;
    counters.object_count++;
    counters.object_bytes += size;
    return o;
}

/* Text between two tags, without quotes in either spelling; the place after it, or NULL. */
static const char *between(const char *xml, const char *open, char *out, size_t capacity)
{
    const char *at = strstr(xml, open);
    size_t used = 0;
    if (!at)
        return NULL;
    for (at += strlen(open); *at && *at != '<'; at++) {
        if (*at == '&')
            at += strcspn(at, ";");
        else if (isalnum((unsigned char)*at) && used + 1 < capacity)
            out[used++] = *at;
    }
    out[used] = 0;
    return at;
}

/* Walk the parts that complete names; NULL when they are right, else the S3 code. The runs of
 * equal sizes go to `sizes`; MD5 of the MD5s to `etag`, as S3 makes it. */
static const char *walk_parts(struct upload *u, const char *xml, struct object *o, FILE *sizes)
{
    unsigned char *md5s = calloc(MAX_PARTS, 16);
    struct sha256_state sha;
    const char *wrong = NULL;
    int before = 0, run = 0;
    long long run_size = -1;
    sha256_begin(&sha);
    for (const char *at = xml; !wrong && (at = strstr(at, "<Part>"));) {
        char number_text[16], etag[40];
        const char *number_end = between(at, "<PartNumber>", number_text, sizeof number_text);
        const char *etag_end = between(at, "<ETag>", etag, sizeof etag);
        int number = number_end ? atoi(number_text) : 0;
        if (!number_end || !etag_end || number < 1)
            wrong = "MalformedXML";
        else if (number <= before)
            wrong = "InvalidPartOrder";
        else if (number >= u->part_limit || strcmp(u->parts[number].etag, etag))
            wrong = "InvalidPart";
        else if (o->parts > 0 && u->parts[before].size < MIN_PART_SIZE)
            wrong = "EntityTooSmall";
        if (wrong)
            break;
        struct part *p = &u->parts[number];
        for (int i = 0; i < 16; i++)
            sscanf(etag + 2 * i, "%2hhx", &md5s[16 * o->parts + i]);
        if (p->data)
            sha256_more(&sha, p->data, (size_t)p->size);
        if (p->size != run_size && run)
            fprintf(sizes, "[%lld, %d], ", run_size, run);
        run = p->size == run_size ? run + 1 : 1;
        run_size = p->size;
        o->size += p->size;
        o->parts++;
        before = number;
        at = number_end > etag_end ? number_end : etag_end;
    }
    if (!wrong && o->parts == 0)
        wrong = "MalformedXML";
    if (!wrong) {
        char md5[33];
        fprintf(sizes, "[%lld, %d]", run_size, run);
        md5_hex(md5s, 16 * (size_t)o->parts, md5);
        snprintf(o->etag, sizeof o->etag, "%s-%d", md5, o->parts);
        if (settings.verify)
            sha256_end_hex(&sha, o->sha256);
    }
    free(md5s);
    return wrong;
}

/* Turn an upload into an object; NULL and its ETag, or the S3 code of the refusal. */
const char *upload_complete(const char *id, const char *xml, char etag[48])
{
    struct object made = { 0 };
    size_t unused;
    FILE *sizes = open_memstream(&made.part_sizes, &unused);
    pthread_mutex_lock(&store_lock);
    struct upload *u = find_upload(id);
    const char *wrong = u ? walk_parts(u, xml, &made, sizes) : "NoSuchUpload";
    fclose(sizes);
    if (wrong)
        free(made.part_sizes);
    else {
        struct object *o = new_object(u->path, made.size);
        made.path = o->path;
        *o = made;
        memcpy(etag, o->etag, sizeof o->etag);
        forget_upload(u);
    }
    pthread_mutex_unlock(&store_lock);
    return wrong;
}

int upload_abort(const char *id)
{
    pthread_mutex_lock(&store_lock);
    struct upload *u = find_upload(id);
    if (u) {
        forget_upload(u);
        counters.aborts++;
    }
    pthread_mutex_unlock(&store_lock);
    return u ? 0 : -1;
}

/* The ListParts answer, for the caller to free; NULL when there is no such upload. */
char *upload_list(const char *id)
{
    char *xml = NULL;
    size_t size;
    pthread_mutex_lock(&store_lock);
    struct upload *u = find_upload(id);
    if (u) {
        FILE *out = open_memstream(&xml, &size);
        fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                "<ListPartsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                "<UploadId>%s</UploadId><MaxParts>10000</MaxParts><IsTruncated>false</IsTruncated>",
                id);
        for (int n = 1; n < u->part_limit; n++)
            if (u->parts[n].etag[0])
                fprintf(out, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag>"
                        "<Size>%lld</Size></Part>", n, u->parts[n].etag, u->parts[n].size);
        fprintf(out, "</ListPartsResult>");
        fclose(out);
    }
    pthread_mutex_unlock(&store_lock);
    return xml;
}

void object_put(const char *path, const char *etag, struct request *q)
{
    char sha256[65] = "";
    if (settings.verify)
        sha256_hex(q->body, (size_t)q->body_size, sha256);
    pthread_mutex_lock(&store_lock);
    struct object *o = new_object(path, q->body_size);
    snprintf(o->etag, sizeof o->etag, "%s", etag);
    memcpy(o->sha256, sha256, sizeof sha256);
    pthread_mutex_unlock(&store_lock);
}

int object_find(const char *path, long long *size, char etag[48])
{
    int found = 0;
    pthread_mutex_lock(&store_lock);
    for (unsigned long n = objects_made; !found && n-- > 0 && n + OBJECTS_KEPT >= objects_made;) {
        struct object *o = &objects[n % OBJECTS_KEPT];
        if ((found = o->path && !strcmp(o->path, path))) {
            *size = o->size;
            memcpy(etag, o->etag, sizeof o->etag);
        }
    }
    pthread_mutex_unlock(&store_lock);
    return found;
}

void store_report(FILE *out)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec)
        + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    pthread_mutex_lock(&store_lock);
#define SAY(name) fprintf(out, "\"" #name "\": %lld, ", counters.name)
    fprintf(out, "{\"cpu_seconds\": %.4f, ", cpu);
    SAY(requests); SAY(connections); SAY(connections_peak); SAY(in_flight_peak);
    SAY(part_requests); SAY(parts_stored); SAY(object_count); SAY(object_bytes);
    SAY(bytes_on_wire); SAY(digest_errors); SAY(bad_requests); SAY(expect_100);
    SAY(aws_chunked); SAY(aborts); SAY(get_requests); SAY(list_requests); SAY(bytes_sent);
#undef SAY
    fprintf(out, "\"objects\": [");
    unsigned long first = objects_made > OBJECTS_KEPT ? objects_made - OBJECTS_KEPT : 0;
    for (unsigned long n = first; n < objects_made; n++) {
        struct object *o = &objects[n % OBJECTS_KEPT];
        fprintf(out, "%s{\"path\": \"%s\", \"size\": %lld, \"parts\": %d, \"sha256\": \"%s\", "
                "\"part_sizes\": [%s]}", n > first ? ", " : "", o->path, o->size, o->parts,
                o->sha256, o->part_sizes ? o->part_sizes : "");
    }
    fprintf(out, "]}\n");
    pthread_mutex_unlock(&store_lock);
    fflush(out);
}
