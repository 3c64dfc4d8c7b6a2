/* SPDX-License-Identifier: Apache-2.0
 * MD5 (RFC 1321) and SHA-256 (FIPS 180-4) for --verify, where speed does not matter: written here
 * so that the plain sink builds without any library. */
#include "sink.h"

#include <math.h>
#include <string.h>

static uint32_t left(uint32_t v, int n) { return v << n | v >> (32 - n); }
static uint32_t right(uint32_t v, int n) { return v >> n | v << (32 - n); }

static void to_hex(const unsigned char *data, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++)
        sprintf(out + 2 * i, "%02x", data[i]);
}

/* ------------------------------------------------------------------ MD5 */
static uint32_t md5_sines[64];

static void md5_tables(void)
{
    for (int i = 0; i < 64; i++)
        md5_sines[i] = (uint32_t)(int64_t)floor(fabs(sin(i + 1.0)) * 4294967296.0);
}

static void md5_block(uint32_t h[4], const unsigned char *block)
{
    static const int turns[4][4] = {
        { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } };
    uint32_t word[16], a = h[0], b = h[1], c = h[2], d = h[3];
    for (int i = 0; i < 16; i++)
        word[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8
            | (uint32_t)block[4 * i + 2] << 16 | (uint32_t)block[4 * i + 3] << 24;
    for (int i = 0; i < 64; i++) {
        uint32_t f;
        int pick;
        switch (i / 16) {
        case 0: f = (b & c) | (~b & d); pick = i; break;
        case 1: f = (d & b) | (~d & c); pick = (5 * i + 1) % 16; break;
        case 2: f = b ^ c ^ d; pick = (3 * i + 5) % 16; break;
        default: f = c ^ (b | ~d); pick = 7 * i % 16; break;
        }
        uint32_t turned = left(a + f + md5_sines[i] + word[pick], turns[i / 16][i % 4]);
        a = d; d = c; c = b; b += turned;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d;
}

void md5_hex(const unsigned char *data, size_t size, char out[33])
{
    uint32_t h[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    unsigned char last[128] = { 0 }, result[16];
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, md5_tables);
    size_t whole = size / 64 * 64, rest = size - whole, padded = rest < 56 ? 64 : 128;
    for (size_t at = 0; at < whole; at += 64)
        md5_block(h, data + at);
    if (rest)
        memcpy(last, data + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[padded - 8 + i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    for (size_t at = 0; at < padded; at += 64)
        md5_block(h, last + at);
    for (int i = 0; i < 16; i++)
        result[i] = (unsigned char)(h[i / 4] >> 8 * (i % 4));
    to_hex(result, 16, out);
}

/* -------------------------------------------------------------- SHA-256 */
static uint32_t sha_k[64], sha_start[8];

/* The constants are the leading fractional bits of roots of the first primes. */
static void sha256_tables(void)
{
    int found = 0;
    for (int n = 2; found < 64; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++)
            prime &= n % d != 0;
        if (!prime)
            continue;
        long double cube = cbrtl(n), square = sqrtl(n);
        sha_k[found] = (uint32_t)((cube - floorl(cube)) * 4294967296.0L);
        if (found < 8)
            sha_start[found] = (uint32_t)((square - floorl(square)) * 4294967296.0L);
        found++;
    }
}

static void sha256_block(uint32_t h[8], const unsigned char *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16
            | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        /* v is a ring: what FIPS 180-4 calls a is at -i, b at 1 - i, ... */
        uint32_t *a = &v[-i & 7], *d = &v[(3 - i) & 7], *last = &v[(7 - i) & 7];
        uint32_t b = v[(1 - i) & 7], c = v[(2 - i) & 7];
        uint32_t e = v[(4 - i) & 7], f = v[(5 - i) & 7], g = v[(6 - i) & 7];
        uint32_t t1 = *last + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g))
            + sha_k[i] + w[i];
        *d += t1;
        *last = t1 + (right(*a, 2) ^ right(*a, 13) ^ right(*a, 22))
            + ((*a & b) ^ (*a & c) ^ (b & c));
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

void sha256_begin(struct sha256_state *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, sha256_tables);
    memcpy(s->h, sha_start, sizeof s->h);
    s->total = 0;
}

void sha256_more(struct sha256_state *s, const unsigned char *data, size_t size)
{
    while (size > 0) {
        size_t used = s->total % 64, room = 64 - used;
        if (used == 0 && size >= 64) {
            sha256_block(s->h, data);
            room = 64;
        } else {
            if (room > size)
                room = size;
            memcpy(s->block + used, data, room);
            if (used + room == 64)
                sha256_block(s->h, s->block);
        }
        s->total += room;
        data += room;
        size -= room;
    }
}

void sha256_end_hex(struct sha256_state *s, char out[65])
{
    unsigned char tail[72] = { 0x80 }, result[32];
    uint64_t bits = s->total * 8;
    size_t zeros = (s->total % 64 < 56 ? 56 : 120) - s->total % 64;
    for (int i = 0; i < 8; i++)
        tail[zeros + i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_more(s, tail, zeros + 8);
    for (int i = 0; i < 32; i++)
        result[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
    to_hex(result, 32, out);
}

void sha256_hex(const unsigned char *data, size_t size, char out[65])
{
    struct sha256_state s;
    sha256_begin(&s);
    sha256_more(&s, data, size);
    sha256_end_hex(&s, out);
}

/* The hex form of a Content-MD5 header; 0 when the text is not one. */
int base64_md5_to_hex(const char *text, char out[33])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char raw[18];
    if (strlen(text) != 24)
        return 0;
    for (int i = 0; i < 6; i++) {
        uint32_t group = 0;
        for (int k = 0; k < 4; k++) {
            const char *at = strchr(digits, text[4 * i + k]);
            group = group << 6 | (at ? (uint32_t)(at - digits) : 0);
        }
        for (int k = 0; k < 3; k++)
            raw[3 * i + k] = (unsigned char)(group >> (16 - 8 * k));
    }
    to_hex(raw, 16, out);
    return 1;
}
