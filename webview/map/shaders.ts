import { LOG_FLOOR } from '../draw/colour';

/** One quad per tile; cells are counted in the tile's own grid. */
export const VERTEX = `#version 300 es
uniform vec2 canvas;    // device pixels
uniform vec2 origin;    // top-left of the tile, device pixels
uniform vec2 cells;     // columns, rows of the tile
uniform float cell;     // side of a cell, device pixels
out vec2 at;            // position in cells
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = corner * cells;
  vec2 pixel = origin + at * cell;
  gl_Position = vec4(pixel.x / canvas.x * 2.0 - 1.0, 1.0 - pixel.y / canvas.y * 2.0, 0.0, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler2D;
in vec2 at;
out vec4 colour;
uniform sampler2D tile;     // r = mass, g = share of it that is kept
uniform sampler2D lut;
uniform vec2 cells;
uniform vec2 first;         // tile's first column and row, in cells
uniform float tokens;       // tokens along a cell
uniform float offset;       // keys - queries
uniform float largest;
uniform int scale;          // 0 linear, 1 square root, 2 logarithmic
uniform bool overlay;
uniform bool causal;
uniform float hatchStep;    // device pixels
uniform vec3 background;
uniform vec3 hatch;

float position(float mass) {
  float share = clamp(mass / largest, 0.0, 1.0);
  if (scale == 0) return share;
  if (scale == 1) return sqrt(share);
  return share <= ${LOG_FLOOR} ? 0.0 : 1.0 - log(share) / log(${LOG_FLOOR});
}

void main() {
  ivec2 index = ivec2(min(at, cells - 1.0));
  vec2 global = first + vec2(index);
  if (causal && global.x * tokens > (global.y + 1.0) * tokens - 1.0 + offset) {
    colour = vec4(background, 1.0);
    return;
  }
  vec2 value = texelFetch(tile, index, 0).rg;
  float t = position(value.r);
  vec3 mass = texture(lut, vec2((t * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  if (overlay) {
    float lost = 1.0 - clamp(value.g, 0.0, 1.0);
    float grey = dot(mass, vec3(0.3, 0.59, 0.11));
    vec3 dim = mix(background, mix(mass, vec3(grey), 0.75), 0.7);
    float stripe = step(mod(gl_FragCoord.x + gl_FragCoord.y, hatchStep), hatchStep * 0.25);
    dim = mix(dim, hatch, stripe * (0.14 + 0.3 * t));
    mass = mix(mass, dim, lost);
  }
  colour = vec4(mass, 1.0);
}`;
